//! The embedded engine: a table of rules over what can be seen in one message. It knows nothing of other messages, of
//! block lists or of the network; whoever needs that asks rspamd or spamd.

mod evidence;
mod phrases;
mod table;
mod urls;

use crate::report::Report;
use evidence::Evidence;
use phrases::Phrases;
use std::collections::BTreeMap;
use table::RULES;
use wasmilter_sdk::{HeaderField, Message};

/// The rules with their scores.
#[derive(Default)]
pub(crate) struct Rules {
    phrases: Phrases,
    /// What each of the table is worth here; 0 where it does not count.
    scores: Vec<f64>,
}

impl Rules {
    /// `scores` by name take the place of those in the table.
    pub(crate) fn new(scores: &BTreeMap<String, f64>) -> Result<Self, String> {
        let scores = RULES.iter().map(|rule| scores.get(rule.name).copied().unwrap_or(rule.score));
        Ok(Self { phrases: Phrases::new()?, scores: scores.collect() })
    }

    /// Adds up the scores of all rules that hold. `headers`: all fields of the message.
    pub(crate) fn score(&self, message: &Message, headers: &[HeaderField]) -> Report {
        let evidence = Evidence::gather(message, headers, &self.phrases);
        let mut score = 0.0;
        let mut symbols = Vec::new();
        for ((rule, worth), holds) in RULES.iter().zip(&self.scores).zip(table::hold(&evidence)) {
            if holds && *worth != 0.0 {
                score += worth;
                symbols.push(rule.name.to_owned());
            }
        }
        Report { engine: "embedded", score, action: String::new(), symbols }
    }
}

/// Whether the text has these words: as `str::contains`, which takes several times as long.
fn contains(text: &str, words: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), words.as_bytes()).is_some()
}

/// Whether there is a rule of that name.
pub(crate) fn is_known(name: &str) -> bool {
    RULES.iter().any(|rule| rule.name == name)
}
