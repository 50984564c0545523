//! Scores a corpus with the embedded rules, to set weights: `cargo run --release --example evaluate -- CORPUS [CSV]`.
//! CORPUS has an INDEX.tsv with the columns path, class, label and set; messages of class 1-spamham are scored. With
//! CSV, one line per message is written there: set, label, score, rules.

use spam::Spam;
use std::{collections::BTreeMap, error::Error, fs, io::Write, path::PathBuf};
use wasmilter_sdk::{FactValue, Message, MessagePolicy, testing};

#[derive(Default)]
struct Counts {
    messages: u32,
    tagged: u32,
    rejected: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = PathBuf::from(arguments.next().ok_or("evaluate CORPUS [CSV]")?);
    let mut csv = arguments.next().map(fs::File::create).transpose()?;
    let plugin = testing::configure::<Spam>(r#"{"reject": false}"#).map_err(|problems| format!("{problems:?}"))?;
    let index = fs::read_to_string(corpus.join("INDEX.tsv"))?;
    let mut sets: BTreeMap<(String, String), Counts> = BTreeMap::new();
    let mut rules: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for line in index.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [path, "1-spamham", label, set, ..] = columns.as_slice() else { continue };
        let Ok(bytes) = fs::read(corpus.join(path)) else { continue };
        let sender = return_path(&bytes);
        let message = Message::parse(&bytes).with_sender(&sender);
        let decision = plugin.decide(&message).map_err(|failure| failure.detail)?;
        let mut score = 0.0;
        let mut symbols = Vec::new();
        for fact in decision.facts() {
            match (fact.name.as_str(), fact.value.clone()) {
                ("score", FactValue::Number(number)) => score = number,
                ("symbols", FactValue::Texts(texts)) => symbols = texts,
                _ => {}
            }
        }
        let counts = sets.entry(((*set).to_owned(), (*label).to_owned())).or_default();
        counts.messages += 1;
        counts.tagged += u32::from(score >= 5.0);
        counts.rejected += u32::from(score >= 15.0);
        for symbol in &symbols {
            let (ham, spam) = rules.entry(symbol.clone()).or_default();
            *if label.starts_with("ham") { ham } else { spam } += 1;
        }
        if let Some(csv) = &mut csv {
            writeln!(csv, "{set},{label},{path},{score:.2},{}", symbols.join(" "))?;
        }
    }
    println!("{:24} {:12} {:>8} {:>8} {:>8}", "set", "label", "messages", ">= 5", ">= 15");
    for ((set, label), counts) in &sets {
        println!("{set:24} {label:12} {:8} {:8} {:8}", counts.messages, counts.tagged, counts.rejected);
    }
    println!("\n{:28} {:>6} {:>6}", "rule", "ham", "spam");
    for (rule, (ham, spam)) in &rules {
        println!("{rule:28} {ham:6} {spam:6}");
    }
    Ok(())
}

/// The envelope sender as the last server wrote it down.
fn return_path(message: &[u8]) -> String {
    let head = String::from_utf8_lossy(message.get(..message.len().min(20_000)).unwrap_or_default()).into_owned();
    let line = head.lines().find_map(|line| line.strip_prefix("Return-Path:"));
    line.map(|value| value.trim().trim_matches(['<', '>']).to_owned()).unwrap_or_default()
}
