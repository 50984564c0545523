//! The arrows between our crates point down, and each outside thing is known to one crate only, as
//! `host/ARCHITECTURE.md` says.

use serde_json::Value;
use std::{collections::BTreeMap, process::Command};
use wasmilter_tests::{corpus::repository, server};

/// From the bottom up. A crate may depend on crates of lower levels, never on one of its own.
const LEVELS: &[&[&str]] = &[
    &["wasmilter-message"],
    &["wasmilter-milter", "wasmilter-wasm", "wasmilter-services", "wasmilter-spool", "wasmilter-registry"],
    &["wasmilter-pipeline", "wasmilter-admin", "wasmilter-cases"],
    &["wasmilter-app", "wasmilter-toolchain"],
    &["wasmilter", "wasmilter-tests"],
    &["wasmilter-bench", "wasmilter-soak"],
];

/// Outside crates that only these crates of ours may name. The composition root starts actix's system; nothing else
/// above the pipeline knows that there are actors.
const HIDDEN: &[(&str, &[&str])] = &[
    ("indymilter", &["wasmilter-milter"]),
    ("wasmtime", &["wasmilter-wasm"]),
    ("wasmtime-wasi", &["wasmilter-wasm"]),
    ("wasmtime-wizer", &["wasmilter-wasm"]),
    ("actix", &["wasmilter-pipeline", "wasmilter-app", "wasmilter"]),
    ("actix-web", &["wasmilter-admin"]),
    ("cel", &["wasmilter-pipeline"]),
    ("memmap2", &["wasmilter-spool"]),
    ("mail-parser", &["wasmilter-message"]),
    ("toml", &["wasmilter-app", "wasmilter-cases", "wasmilter-toolchain", "wasmilter-tests", "xtask"]),
    ("clap", &["wasmilter", "wasmilter-bench", "wasmilter-soak", "xtask"]),
    ("oci-client", &["wasmilter-registry"]),
    ("minisign-verify", &["wasmilter-registry"]),
    ("redb", &["wasmilter-services"]),
    ("hickory-resolver", &["wasmilter-services"]),
];

/// What the vocabulary must never know: input and output, async runtimes, sandboxes, actors.
const NOT_IN_MESSAGE: &[&str] =
    &["tokio", "actix", "actix-rt", "wasmtime", "futures-util", "socket2", "nix", "tracing"];

#[test]
fn arrows_point_down_only() {
    let dependencies = dependencies();
    let level = |name: &str| LEVELS.iter().position(|level| level.contains(&name));
    let mut wrong = Vec::new();
    for (package, needs) in &dependencies {
        if package == "xtask" {
            continue;
        }
        let own = level(package).unwrap_or_else(|| panic!("{package} has no place in host/ARCHITECTURE.md and here"));
        for need in needs {
            if level(need).is_some_and(|theirs| theirs >= own) {
                wrong.push(format!("{package} → {need}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not point down: {}", wrong.join(", "));
    for name in LEVELS.iter().copied().flatten() {
        assert!(dependencies.contains_key(*name), "{name} is in the table but not in the workspace");
    }
}

#[test]
fn each_outside_thing_is_known_to_one_crate() {
    let mut wrong = Vec::new();
    for (package, needs) in dependencies() {
        for (outside, knowing) in HIDDEN {
            if needs.iter().any(|need| need == outside) && !knowing.contains(&package.as_str()) {
                wrong.push(format!("{package} knows {outside}, which belongs to {}", knowing.join(", ")));
            }
        }
        if package == "wasmilter-message" {
            let io = needs.iter().filter(|need| NOT_IN_MESSAGE.contains(&need.as_str()));
            wrong.extend(io.map(|need| format!("wasmilter-message knows {need}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What each package of the workspace needs when it runs, by name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = server::run(Command::new(cargo).current_dir(repository()).args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap().iter();
            (name(package), all.filter(|needed| needed["kind"].is_null()).map(name).collect())
        })
        .collect()
}
