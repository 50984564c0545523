//! `expected.toml` as the plugin says it.

use crate::{
    case::Case,
    outcome::{Contents, Outcome, Said, base64},
    source::CaseError,
};
use std::{fs, path::Path};
use toml::{Table, Value};

/// Why `expected.toml` was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// What happened can not be expected of anybody.
    #[error("expected.toml was left as it is: {0}")]
    NotToBeExpected(String),
    /// The file could not be written.
    #[error(transparent)]
    File(CaseError),
}

/// Writes what the plugin said into the case's `expected.toml`; comments above the first key stay.
///
/// # Errors
/// When the plugin could not be used or left the script: that is for its author to mend. When the same call had different
/// answers (`times`), and when the file can not be written.
pub fn update(case: &Case, outcome: &Outcome) -> Result<(), UpdateError> {
    let body = written(outcome).map_err(UpdateError::NotToBeExpected)?;
    let path = case.folder().join("expected.toml");
    let failed = |error: &dyn std::fmt::Display| UpdateError::File(CaseError::of(&path, error));
    let old = read_or_empty(&path).map_err(|error| failed(&error))?;
    let comments =
        old.split_inclusive('\n').take_while(|line| line.trim_start().starts_with('#') || line.trim().is_empty());
    let text = comments.collect::<String>() + &body;
    fs::write(&path, text).map_err(|error| failed(&error))
}

fn read_or_empty(path: &Path) -> std::io::Result<String> {
    if path.exists() { fs::read_to_string(path) } else { Ok(String::new()) }
}

fn written(outcome: &Outcome) -> Result<String, String> {
    let mut file = Table::new();
    match outcome {
        Outcome::Unusable(reason) => return Err(reason.clone()),
        Outcome::Problems(problems) => {
            let problems = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
            file.insert("problems".to_owned(), Value::Array(problems.map(Value::from).collect()));
        }
        Outcome::Said { strayed, .. } if !strayed.is_empty() => return Err(strayed.join("; ")),
        Outcome::Said { calls, store, .. } => {
            let mut tables = Vec::new();
            for (number, times) in (1_usize..).zip(calls) {
                tables.push(call(number, times)?);
            }
            match <[Table; 1]>::try_from(tables) {
                Ok([only]) => file = only,
                Err(tables) => {
                    file.insert("call".to_owned(), Value::Array(tables.into_iter().map(Value::Table).collect()));
                }
            }
            if *store != Contents::default() {
                file.insert("store".to_owned(), Value::Table(contents(store)));
            }
        }
    }
    toml::to_string_pretty(&file).map_err(|error| error.to_string())
}

fn call(number: usize, times: &[Said]) -> Result<Table, String> {
    let Some((first, others)) = times.split_first() else { return Ok(Table::new()) };
    if let Some(at) = others.iter().position(|said| said != first) {
        let time = at.saturating_add(2);
        return Err(format!("call {number} has another answer at its time {time}: make two calls of it"));
    }
    let mut table = Table::new();
    table.insert("verdict".to_owned(), first.verdict.as_str().into());
    if first.code != 0 {
        table.insert("code".to_owned(), i64::from(first.code).into());
    }
    if !first.reply.is_empty() {
        table.insert("reply".to_owned(), first.reply.as_str().into());
    }
    if let Some(failure) = &first.failure {
        table.insert("failure".to_owned(), failure.as_str().into());
    }
    if !first.edits.is_empty() {
        table.insert(
            "edits".to_owned(),
            Value::Array(first.edits.iter().map(String::as_str).map(Value::from).collect()),
        );
    }
    if !first.facts.is_empty() {
        let facts = first.facts.iter().map(|(name, value)| (name.clone(), fact(value)));
        table.insert("facts".to_owned(), Value::Table(facts.collect()));
    }
    Ok(table)
}

/// A fact in TOML; whole numbers without a point.
fn fact(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(flag) => (*flag).into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(list) => Value::Array(list.iter().map(fact).collect()),
        #[allow(clippy::cast_possible_truncation, reason = "whole, and small enough")]
        other => match other.as_f64().unwrap_or_default() {
            number if number.fract() == 0.0 && number.abs() < 1e15 => (number as i64).into(),
            number => number.into(),
        },
    }
}

fn contents(store: &Contents) -> Table {
    let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::Table(Table::from_iter([("base64".to_owned(), base64(bytes).into())])),
    };
    let mut table = Table::new();
    if !store.values.is_empty() {
        let values = store.values.iter().map(|(key, bytes)| (key.clone(), value(bytes)));
        table.insert("values".to_owned(), Value::Table(values.collect()));
    }
    if !store.counters.is_empty() {
        let counters = store.counters.iter().map(|(key, count)| (key.clone(), i64::from(*count).into()));
        table.insert("counters".to_owned(), Value::Table(counters.collect()));
    }
    table
}
