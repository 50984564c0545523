//! The folders of a plugin's `cases/`, run natively. The format is documented in `plugins/README.md`.

use super::{configure, edit_line};
use crate::{Decision, FactValue, Failure, Message, Policy, Verdict};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// `transaction.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Transaction {
    client: String,
    client_name: Option<String>,
    helo: Option<String>,
    auth: Option<String>,
    from: String,
    rcpt: Vec<String>,
    facts: BTreeMap<String, Value>,
    config: Value,
    /// What each service answers, whatever it is asked; an escape `\r\n` is TOML's.
    services: BTreeMap<String, String>,
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            client: "192.0.2.1".to_owned(),
            client_name: None,
            helo: None,
            auth: None,
            from: "sender@example.net".to_owned(),
            rcpt: vec!["recipient@example.org".to_owned()],
            facts: BTreeMap::new(),
            config: json!({}),
            services: BTreeMap::new(),
        }
    }
}

/// `expected.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    verdict: String,
    #[serde(default)]
    reply: Option<String>,
    #[serde(default)]
    edits: Vec<String>,
    #[serde(default)]
    facts: BTreeMap<String, Value>,
}

/// Runs every folder of `directory` (usually `concat!(env!("CARGO_MANIFEST_DIR"), "/cases")`) and panics with everything
/// that was not as expected, or when there is no case at all.
pub fn cases<P: Policy>(directory: &str) {
    let mut folders: Vec<_> = fs::read_dir(directory)
        .expect("the folder of cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases in {directory}");
    let mut wrong = Vec::new();
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        wrong.extend(run::<P>(folder).into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

/// Runs one case and gives what was not as expected.
fn run<P: Policy>(folder: &Path) -> Vec<String> {
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = |name: &str| String::from_utf8(read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut transaction: Transaction =
        toml::from_str(&text("transaction.toml")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let expected: Expected =
        toml::from_str(&text("expected.toml")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));

    fill_files(&mut transaction.config, folder);
    let policy = match configure::<P>(&transaction.config.to_string()) {
        Ok(policy) => policy,
        Err(problems) => return vec![format!("configuration refused: {:?}", problems.into_list())],
    };
    let message = message(&read("message.eml"), transaction);
    differences(&policy.decide(&message), &expected)
}

fn message(eml: &[u8], transaction: Transaction) -> Message {
    let rcpt: Vec<&str> = transaction.rcpt.iter().map(String::as_str).collect();
    let mut message = Message::parse(eml)
        .with_client(|client| {
            client.address = transaction.client;
            client.hostname = transaction.client_name.unwrap_or_default();
            client.helo = transaction.helo.unwrap_or_default();
            client.auth_user = transaction.auth.unwrap_or_default();
        })
        .with_sender(&transaction.from)
        .with_recipients(&rcpt);
    for (name, value) in transaction.facts {
        message = match value {
            Value::Bool(flag) => message.with_known_fact(&name, flag),
            Value::Number(number) => message.with_known_fact(&name, number.as_f64().unwrap_or_default()),
            Value::String(text) => message.with_known_fact(&name, text),
            other => message.with_known_fact(&name, texts(&other)),
        };
    }
    for (name, answer) in transaction.services {
        message = message.with_service(&name, move |_| answer.clone().into_bytes());
    }
    message
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the host does with `{ file = … }` and `{ directory = … }`; paths are relative to the case.
fn fill_files(config: &mut Value, folder: &Path) {
    let content = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match String::from_utf8(bytes) {
            Ok(text) => ("content", text),
            Err(error) => ("base64", BASE64.encode(error.as_bytes())),
        }
    };
    match config {
        Value::Array(list) => list.iter_mut().for_each(|value| fill_files(value, folder)),
        Value::Object(map) if map.len() == 1 && map.get("file").is_some_and(Value::is_string) => {
            let path = folder.join(map["file"].as_str().unwrap_or_default());
            let (key, text) = content(&path);
            map.insert(key.to_owned(), Value::String(text));
        }
        Value::Object(map) if map.len() == 1 && map.get("directory").is_some_and(Value::is_string) => {
            let path = folder.join(map["directory"].as_str().unwrap_or_default());
            let mut files: Vec<_> = fs::read_dir(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                .map(|entry| entry.expect("a file").path())
                .collect();
            files.sort();
            let files = files.iter().map(|file| {
                let (key, text) = content(file);
                json!({ "name": file.file_name().unwrap_or_default().to_string_lossy(), key: text })
            });
            map.insert("files".to_owned(), files.collect());
        }
        Value::Object(map) => map.values_mut().for_each(|value| fill_files(value, folder)),
        _ => {}
    }
}

fn differences(outcome: &Result<Decision, Failure>, expected: &Expected) -> Vec<String> {
    let (verdict, reply, edits, facts) = match outcome {
        Err(failure) => ("failure", failure.detail.as_str(), &[][..], &[][..]),
        Ok(decision) => {
            let (verdict, reply) = match &decision.verdict {
                Verdict::Next => ("next", ""),
                Verdict::Accept => ("accept", ""),
                Verdict::Reject(reply) => ("reject", reply.text.as_str()),
                Verdict::Tempfail(reply) => ("tempfail", reply.text.as_str()),
                Verdict::Discard => ("discard", ""),
                Verdict::Quarantine(reason) => ("quarantine", reason.as_str()),
            };
            (verdict, reply, decision.edits.as_slice(), decision.facts.as_slice())
        }
    };
    let mut differences = Vec::new();
    if verdict != expected.verdict {
        differences.push(format!("verdict is {verdict} ({reply}), expected {}", expected.verdict));
    }
    if let Some(part) = &expected.reply
        && !reply.contains(part.as_str())
    {
        differences.push(format!("reply is {reply:?}, expected {part:?} in it"));
    }
    let edits: Vec<String> = edits.iter().map(edit_line).collect();
    let same = edits.len() == expected.edits.len()
        && edits.iter().zip(&expected.edits).all(|(edit, start)| edit.starts_with(start.as_str()));
    if !same {
        differences.push(format!("edits are {edits:#?}, expected {:#?}", expected.edits));
    }
    for (name, value) in &expected.facts {
        let found = facts.iter().find(|fact| &fact.name == name).map(|fact| as_json(&fact.value));
        if found.as_ref().is_none_or(|found| !equal(found, value)) {
            differences.push(format!("fact {name} is {found:?}, expected {value}"));
        }
    }
    differences
}

fn as_json(value: &FactValue) -> Value {
    match value {
        FactValue::Flag(flag) => json!(flag),
        FactValue::Number(number) => json!(number),
        FactValue::Text(text) => json!(text),
        FactValue::Texts(texts) => json!(texts),
    }
}

/// 7 and 7.0 are the same number.
fn equal(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
        _ => found == expected,
    }
}
