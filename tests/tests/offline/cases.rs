//! The cases of the bundled plugins (`plugins/NAME/cases/`; their format is in `plugins/README.md`) through the real
//! host. The plugins' own tests run them natively; here they cross the sandbox, the grants and the checks of edits.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use toml::{Table, Value as Toml};
use wasmilter_tests::{
    corpus::repository, scratch::Scratch, script::stage, transaction::Transaction, wasmilter::try_json,
};

#[test]
fn virus() {
    all_hold("virus");
}

#[test]
fn spam() {
    all_hold("spam");
}

#[test]
fn disclaimer() {
    all_hold("disclaimer");
}

#[test]
fn encryption() {
    all_hold("encryption");
}

#[test]
fn peer_address() {
    all_hold("peer-address");
}

fn all_hold(plugin: &str) {
    let scratch = Scratch::new("cases");
    let folder = repository().join("plugins").join(plugin).join("cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    assert!(!cases.is_empty(), "{plugin} has no cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy();
        wrong.extend(run(plugin, case, &scratch).into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", cases.len(), wrong.join("\n"));
}

/// What differs from `expected.toml`.
fn run(plugin: &str, case: &Path, scratch: &Scratch) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
    let mut told: Table = read("transaction.toml").parse().unwrap();
    let expected: Table = read("expected.toml").parse().unwrap();
    let mut config = told.remove("config").unwrap_or_else(|| Toml::Table(Table::new()));
    absolute_paths(&mut config, case);
    let facts = table(told.remove("facts"));
    let services = table(told.remove("services"));
    let mut transaction: Transaction = Toml::Table(told).try_into().unwrap();
    transaction.or_as_natively();

    let mut whole = String::new();
    let mut grants = ["body", "recipients", "set-client", "clock", "random"].map(str::to_owned).to_vec();
    for (service, answer) in &services {
        whole += &format!("[services.{service}]\naddress = \"{}\"\n", answering(answer.as_str().unwrap()));
        grants.push(format!("service:{service}"));
    }
    whole += &publishing(&facts);
    whole += &format!("[[stage]]\nname = \"case\"\nplugin = {plugin:?}\ngrants = {grants:?}\nconfig = {config}\n");

    let message = fs::read(case.join("message.eml")).unwrap();
    let options = transaction.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let outcome = try_json(scratch, &whole, &options, &message);
    let stages = outcome["stages"].as_array().cloned().unwrap_or_default();
    match stages.iter().find(|stage| stage["name"] == "case") {
        Some(stage) => differences(stage, &outcome["reply"], &expected),
        None => vec![format!("the stage was not reached: {outcome}")],
    }
}

fn differences(stage: &Value, reply: &Value, expected: &Table) -> Vec<String> {
    let mut differences = Vec::new();
    let verdict = expected["verdict"].as_str().unwrap();
    if verdict == "failure" {
        if stage["failure"].is_null() {
            differences.push(format!("expected a failure, got {stage}"));
        }
        return differences;
    }
    if !stage["failure"].is_null() || stage["verdict"] != verdict {
        differences.push(format!("expected {verdict}, got {} {}", stage["verdict"], stage["failure"]));
    }
    if let (Some(part), "reject" | "tempfail") = (expected.get("reply").and_then(Toml::as_str), verdict)
        && !reply.as_str().is_some_and(|reply| reply.contains(part))
    {
        differences.push(format!("expected {part:?} in the reply, got {reply}"));
    }
    let wanted = expected.get("edits").and_then(Toml::as_array).cloned().unwrap_or_default();
    let edits = stage["edits"].as_array().cloned().unwrap_or_default();
    let as_wanted = |(edit, line): (&Value, &Toml)| {
        let (name, rest) = line.as_str().unwrap().split_once(' ').unwrap_or((line.as_str().unwrap(), ""));
        // Of the summary, only the kind and a header field's name are the same here and there.
        let field = rest.split([':', '#', ' ']).next().unwrap_or_default();
        edit["edit"] == name
            && (!name.ends_with("-header") || edit["name"].as_str().unwrap().eq_ignore_ascii_case(field))
    };
    if edits.len() != wanted.len() || !edits.iter().zip(&wanted).all(as_wanted) {
        differences.push(format!("expected edits {wanted:?}, got {edits:?}"));
    }
    for (name, value) in expected.get("facts").and_then(Toml::as_table).cloned().unwrap_or_default() {
        let found = &stage["facts"][format!("case.{name}")];
        let value = json!(value);
        let same = match (found.as_f64(), value.as_f64()) {
            (Some(found), Some(value)) => (found - value).abs() < 1e-6,
            _ => *found == value,
        };
        if !same {
            differences.push(format!("expected {name} = {value}, got {found}"));
        }
    }
    differences
}

/// Stages that publish facts, as stages of these names before the plugin would.
fn publishing(facts: &Table) -> String {
    let mut stages: BTreeMap<&str, Table> = BTreeMap::new();
    for (name, value) in facts {
        let (name, fact) = name.split_once('.').expect("facts are named stage.name");
        stages.entry(name).or_default().insert(fact.to_owned(), value.clone());
    }
    stages.iter().map(|(name, facts)| stage(name, "scripted", "", &json!({ "facts": facts }))).collect()
}

/// A service that gives this answer, whatever it is asked. Lives as long as the test binary.
fn answering(answer: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Everything that is sent is taken first, so that closing does not reset the connection.
            let mut asked = [0; 65_536];
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            while stream.read(&mut asked).is_ok_and(|length| length > 0) {}
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    format!("inet:{address}")
}

/// Paths in a case are relative to it.
fn absolute_paths(config: &mut Toml, case: &Path) {
    match config {
        Toml::Array(list) => list.iter_mut().for_each(|value| absolute_paths(value, case)),
        Toml::Table(table) => {
            for (key, value) in table.iter_mut() {
                match value {
                    Toml::String(path) if ["file", "directory"].contains(&key.as_str()) => {
                        *path = case.join(&*path).display().to_string();
                    }
                    value => absolute_paths(value, case),
                }
            }
        }
        _ => {}
    }
}

fn table(value: Option<Toml>) -> Table {
    value.and_then(|value| value.as_table().cloned()).unwrap_or_default()
}
