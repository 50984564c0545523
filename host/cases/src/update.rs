//! `expected.toml` as the plugin says it.

use crate::{
    case::Case,
    outcome::{Contents, Outcome, Said, base64},
    source::CaseError,
};
use serde::Serialize;
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
    let file = match outcome {
        Outcome::Unusable(reason) => return Err(reason.clone()),
        Outcome::Problems(problems) => {
            let problems = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
            File { problems: Some(problems), ..File::default() }
        }
        Outcome::Said { strayed, .. } if !strayed.is_empty() => return Err(strayed.join("; ")),
        Outcome::Said { calls, store, .. } => {
            let mut said = Vec::new();
            for (number, times) in (1_usize..).zip(calls) {
                said.push(call(number, times)?);
            }
            let store = (*store != Contents::default()).then(|| contents(store));
            match <[Call; 1]>::try_from(said) {
                Ok([only]) => File { only: Some(only), store, ..File::default() },
                Err(call) => File { call, store, ..File::default() },
            }
        }
    };
    toml::to_string_pretty(&file).map_err(|error| error.to_string())
}

/// The file, its keys in the order in which `FORMAT.md` has them.
#[derive(Default, Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<String>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    only: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    call: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Table>,
}

#[derive(Serialize)]
struct Call<'a> {
    verdict: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    reply: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    edits: &'a [String],
    #[serde(skip_serializing_if = "Table::is_empty")]
    facts: Table,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_none(code: &u16) -> bool {
    *code == 0
}

fn call(number: usize, times: &[Said]) -> Result<Call<'_>, String> {
    let Some((first, others)) = times.split_first() else { return Err(format!("call {number} was not made")) };
    if let Some(at) = others.iter().position(|said| said != first) {
        let time = at.saturating_add(2);
        return Err(format!("call {number} has another answer at its time {time}: make two calls of it"));
    }
    Ok(Call {
        verdict: &first.verdict,
        code: first.code,
        reply: &first.reply,
        failure: first.failure.as_deref(),
        edits: &first.edits,
        facts: first.facts.iter().map(|(name, value)| (name.clone(), fact(value))).collect(),
    })
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
