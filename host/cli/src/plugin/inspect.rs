//! `wasmilter plugin inspect`

use super::{list, sandbox};
use crate::{configuration::start_quiet_log, output};
use anyhow::Result;
use serde_json::{Value, json};
use std::{fmt::Write as _, path::PathBuf, process::ExitCode};
use wasmilter_message::grants::Grants;
use wasmilter_wasm::{
    Component, Inspection, Isolation, Limits, Outside, PrepareError, Sandbox, StageSettings, StartedFrom,
};

/// Show what a plugin is: its description, what it can reach, and how it starts.
///
/// Compiles the plugin (compiled code is kept, as by the daemon) and has it describe itself in a sandbox without any grants. To see how it
/// starts, it is configured with nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin inspect target/plugins/virus.wasm
  wasmilter plugin inspect --json plugin.wasm | jq -r '.needs_grants[]'
  wasmilter plugin inspect --json plugin.wasm | jq .config_schema

With --json prints one object: `info` (name, version, summary, licence, home_page, grants, config_schema as text), `config_schema` (as \
JSON), `phases`, `exports`, `imports`, `needs_grants`, `optional_grants`, `unknown_imports`, `size`, `start` (snapshot, plain, or null \
when it does not take an empty configuration).

Exit codes: 0 it is a plugin; 1 it is none; 2 the command line was wrong.")]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What grants open, in words: as `wit/package.wit` has it.
const IN_WORDS: [(&str, &str); 12] = [
    ("envelope", "see sender and recipients"),
    ("headers", "see and change header fields"),
    ("text", "see and change the text"),
    ("attachments", "see and change attachments"),
    ("raw", "see the message as bytes, replace all of its content"),
    ("body", "see and change text, attachments and the whole content"),
    ("recipients", "change sender and recipients"),
    ("set-client", "say who the client is, to later stages"),
    ("dns", "ask the domain name system"),
    ("store", "remember values from message to message"),
    ("clock", "know the time of day"),
    ("random", "get randomness"),
];

/// How a message meets the plugin.
enum Start {
    From(StartedFrom),
    /// It does not take an empty configuration.
    NotKnown(String),
}

impl Inspect {
    pub(super) fn run(self) -> Result<ExitCode> {
        start_quiet_log(None)?;
        let sandbox = sandbox()?;
        let component = sandbox.load(&self.file)?;
        let start = start(&sandbox, &component);
        let inspection = component.inspection();
        let text = match self.json {
            true => format!("{:#}\n", as_json(inspection, &start)?),
            false => describe(inspection, &start)?,
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Configures the plugin with nothing, to see whether a snapshot of it can be taken.
fn start(sandbox: &Sandbox, component: &Component) -> Start {
    let mut grants = Grants::default();
    let needed = component.inspection().needs_grants.iter().flat_map(|any| any.split(" or "));
    for grant in needed.chain(component.inspection().optional_grants.iter().map(String::as_str)) {
        // What can not be granted without a name opens nothing here anyway.
        let _named = grants.add(grant).is_err();
    }
    let settings = StageSettings {
        stage: "inspect".into(),
        config: "{}".to_owned(),
        grants,
        limits: Limits::default(),
        isolation: Isolation::Message,
    };
    match sandbox.prepare(component, settings, &Outside::nothing()) {
        Ok(plugin) => Start::From(plugin.started_from()),
        Err(PrepareError::Config(_)) => Start::NotKnown("it needs a configuration; `wasmilter check` tells".to_owned()),
        Err(error) => Start::NotKnown(error.to_string()),
    }
}

fn as_json(inspection: &Inspection, start: &Start) -> Result<Value> {
    let mut all = serde_json::to_value(inspection)?;
    if let Some(all) = all.as_object_mut() {
        let schema: Option<Value> = serde_json::from_str(&inspection.info.config_schema).ok();
        all.insert("config_schema".to_owned(), json!(schema));
        let from = match start {
            Start::From(from) => Some(from.name()),
            Start::NotKnown(_) => None,
        };
        all.insert("start".to_owned(), json!(from));
    }
    Ok(all)
}

fn describe(inspection: &Inspection, start: &Start) -> Result<String> {
    let info = &inspection.info;
    let mut text = String::new();
    writeln!(text, "{} {}, {} bytes", info.name, info.version, inspection.size)?;
    writeln!(text, "{}", info.summary)?;
    for (what, value) in [("licence", &info.licence), ("home page", &info.home_page)] {
        if !value.is_empty() {
            writeln!(text, "{what}: {value}")?;
        }
    }
    writeln!(text)?;
    writeln!(text, "asked: {}", asked(inspection).join(", "))?;
    match start {
        Start::From(StartedFrom::Snapshot) => {
            writeln!(text, "start: each message from a snapshot, taken after configuration")?;
        }
        Start::From(from) => {
            let what = "each message fresh and configured anew: no snapshot of it can be taken";
            writeln!(text, "start: {what} ({})", from.name())?;
        }
        Start::NotKnown(reason) => writeln!(text, "start: not known, {reason}")?,
    }
    writeln!(text)?;
    list(&mut text, "needs granted", &in_words(&inspection.needs_grants))?;
    list(&mut text, "makes use of, when granted", &in_words(&info.grants))?;
    list(&mut text, "imports", &inspection.imports)?;
    list(&mut text, "exports", &inspection.exports)?;
    if !inspection.unknown_imports.is_empty() {
        list(&mut text, "imports that this version of wasmilter does not have", &inspection.unknown_imports)?;
    }
    schema(&mut text, &info.config_schema)?;
    Ok(text)
}

/// When the plugin is asked.
fn asked(inspection: &Inspection) -> Vec<&'static str> {
    let phases = inspection.phases;
    let all = [
        (phases.connect, "at connect"),
        (phases.helo, "at HELO"),
        (phases.mail, "at MAIL"),
        (phases.rcpt, "at RCPT"),
        (phases.message, "for the message"),
    ];
    all.into_iter().filter_map(|(wanted, name)| wanted.then_some(name)).collect()
}

/// `headers (see and change header fields)`
fn in_words(grants: &[String]) -> Vec<String> {
    let known = |grant: &str| IN_WORDS.iter().find(|(name, _)| *name == grant).map(|(_, words)| *words);
    let of = |grant: &str| match grant.split_once(':') {
        Some(("service", _)) => Some("speak with a network service"),
        Some(("store", _)) => known("store"),
        _ => known(grant),
    };
    let describe = |any: &String| {
        let words: Vec<&str> = any.split(" or ").filter_map(of).collect();
        if words.is_empty() { any.clone() } else { format!("{any} ({})", words.join("; ")) }
    };
    grants.iter().map(describe).collect()
}

/// The keys of the configuration, as far as the schema names them.
fn schema(text: &mut String, schema: &str) -> Result<()> {
    let Ok(schema) = serde_json::from_str::<Value>(schema) else {
        writeln!(text, "configuration: its schema is no JSON")?;
        return Ok(());
    };
    let Some(keys) = schema.get("properties").and_then(Value::as_object) else {
        writeln!(text, "configuration: anything")?;
        return Ok(());
    };
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<String> = keys
        .iter()
        .map(|(name, key)| {
            let kind = match key.get("type") {
                Some(Value::String(kind)) => format!(" ({kind})"),
                _ => String::new(),
            };
            let must = if required.iter().any(|one| one == name) { ", required" } else { "" };
            let description = key.get("description").and_then(Value::as_str).unwrap_or_default();
            let description = if description.is_empty() { String::new() } else { format!(": {description}") };
            format!("{name}{kind}{must}{description}")
        })
        .collect();
    list(text, "configuration", &lines)?;
    Ok(())
}
