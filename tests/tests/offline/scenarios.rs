//! A folder in `tests/scenarios` is a test: `wasmilter.toml`, `message.eml`, optionally `transaction.toml`, and what
//! `wasmilter try --json` must print (`expected.json`, without times) and write (`output.eml`, where there is one).
//! With `UPDATE_SCENARIOS=1` in the environment the expectations are written instead; read the difference before you
//! commit it.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use wasmilter_tests::{corpus::repository, scratch::Scratch, transaction::Transaction, wasmilter};

#[test]
fn every_folder_comes_out_as_expected() {
    let scenarios = folders(&repository().join("tests/scenarios"));
    assert!(!scenarios.is_empty(), "no scenarios");
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let scratch = Scratch::new("scenarios");
    let wrong: Vec<String> = scenarios.iter().filter_map(|scenario| run(scenario, update, &scratch).err()).collect();
    assert!(wrong.is_empty(), "{} of {} scenarios failed:\n{}", wrong.len(), scenarios.len(), wrong.join("\n"));
}

fn run(scenario: &Path, update: bool, scratch: &Scratch) -> Result<(), String> {
    let name = scenario.file_name().unwrap().to_string_lossy().into_owned();
    let written = scratch.join(&format!("{name}.eml"));
    let output = Command::new(wasmilter::binary())
        .args(["try", "--json", "--config"])
        .arg(scenario.join("wasmilter.toml"))
        .args(Transaction::load(&scenario.join("transaction.toml")).options())
        .arg("--output")
        .arg(&written)
        .arg(scenario.join("message.eml"))
        .env("XDG_CACHE_HOME", repository().join("target/tests"))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let mut got: Value = serde_json::from_str(&shown).map_err(|error| {
        format!("{name}: {error}: {}: {shown}{}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    without_times(&mut got);

    let (json, eml) = (scenario.join("expected.json"), scenario.join("output.eml"));
    if update {
        fs::write(&json, format!("{}\n", serde_json::to_string_pretty(&got).unwrap())).unwrap();
        if eml.exists() {
            fs::copy(&written, &eml).unwrap();
        }
        return Ok(());
    }
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(&json).map_err(|error| format!("{name}: expected.json: {error}"))?)
            .map_err(|error| format!("{name}: expected.json: {error}"))?;
    if got != expected {
        return Err(format!("{name}: got {}", serde_json::to_string_pretty(&got).unwrap()));
    }
    if eml.exists() && fs::read(&eml).unwrap() != fs::read(&written).unwrap_or_default() {
        return Err(format!("{name}: the message as it would leave is not output.eml"));
    }
    Ok(())
}

/// Takes out what differs from run to run.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("microseconds");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}

fn folders(within: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(within).unwrap_or_else(|error| panic!("{}: {error}", within.display()));
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}
