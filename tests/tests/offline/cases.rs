//! The cases of the bundled plugins, of the examples in seven languages and of the plugin that was built for contract 1.0 (folders
//! `cases/`; their format is in `host/cases/FORMAT.md`) in the sandbox, with its grants and its checks of edits.

use std::{path::Path, time::Duration};
use wasmilter_cases::{Report, Runner, Tested, find};
use wasmilter_tests::corpus::repository;
use wasmilter_wasm::{Sandbox, SandboxSettings};

#[tokio::test]
async fn virus() {
    bundled("virus").await;
}

#[tokio::test]
async fn spam() {
    bundled("spam").await;
}

#[tokio::test]
async fn disclaimer() {
    bundled("disclaimer").await;
}

#[tokio::test]
async fn encryption() {
    bundled("encryption").await;
}

#[tokio::test]
async fn peer_address() {
    bundled("peer-address").await;
}

#[tokio::test]
async fn example_in_rust() {
    example("attachment-types").await;
}

#[tokio::test]
async fn example_in_go() {
    example("look-alike").await;
}

#[tokio::test]
async fn example_in_python() {
    example("word-tags").await;
}

#[tokio::test]
async fn example_in_typescript() {
    example("external-banner").await;
}

#[tokio::test]
async fn example_in_javascript() {
    example("reply-elsewhere").await;
}

#[tokio::test]
async fn example_in_c() {
    example("rate-limit").await;
}

#[tokio::test]
async fn example_in_zig() {
    example("subject-rewrite").await;
}

/// Whatever changes in the host: a plugin that was built when 1.0 was frozen is called, answered and obeyed as it was then.
#[tokio::test]
async fn plugin_built_for_contract_1_0() {
    let folder = repository().join("tests/fixtures/contract-1.0");
    all_hold(&folder.join("contract-1.0.wasm"), &folder.join("cases")).await;
}

async fn bundled(plugin: &str) {
    let cases = repository().join("plugins").join(plugin).join("cases");
    all_hold(&repository().join(format!("target/plugins/{plugin}.wasm")), &cases).await;
}

async fn example(plugin: &str) {
    let cases = repository().join("examples/plugins").join(plugin).join("cases");
    all_hold(&repository().join(format!("target/examples/{plugin}.wasm")), &cases).await;
}

async fn all_hold(component: &Path, cases: &Path) {
    assert!(component.exists(), "{} is missing: `cargo xtask test` builds it", component.display());
    // Many cases have the same configuration, which is compiled only once.
    let cache = Some(repository().join("target/tests/cache"));
    let sandbox = Sandbox::new(&SandboxSettings { slots: 2, cache, ..SandboxSettings::default() }).unwrap();
    let component = sandbox.load(component).unwrap();
    let mut runner = Runner::new(&sandbox, &component);
    // Runtimes of interpreters are large, and slow where everything is unoptimised and busy.
    runner.limits.memory = 256 << 20;
    runner.time = Duration::from_secs(60);

    let folders = find(cases).unwrap();
    assert!(!folders.is_empty(), "{} has no cases", cases.display());
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for folder in &folders {
        let Tested { name, report } = Tested::run(&runner, folder, update).await;
        match report {
            Report::Passed => {}
            Report::Failed { difference, .. } => wrong.push(format!("{name}:\n{difference}")),
            Report::Mistake { mistake } => wrong.push(mistake.to_string()),
            Report::Updated => wrong.push(format!("{name} was changed")),
        }
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", folders.len(), wrong.join("\n"));
}
