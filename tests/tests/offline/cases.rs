//! The cases of the bundled plugins (`plugins/NAME/cases/`; their format is in `host/cases/FORMAT.md`) in the sandbox, with
//! its grants and its checks of edits. The plugins' own tests run them natively.

use wasmilter_cases::{Report, Runner, Tested, find};
use wasmilter_tests::{corpus::repository, scratch::Scratch};
use wasmilter_wasm::{Sandbox, SandboxSettings};

#[tokio::test]
async fn virus() {
    all_hold("virus").await;
}

#[tokio::test]
async fn spam() {
    all_hold("spam").await;
}

#[tokio::test]
async fn disclaimer() {
    all_hold("disclaimer").await;
}

#[tokio::test]
async fn encryption() {
    all_hold("encryption").await;
}

#[tokio::test]
async fn peer_address() {
    all_hold("peer-address").await;
}

async fn all_hold(plugin: &str) {
    let scratch = Scratch::new("cases");
    let component = repository().join(format!("target/plugins/{plugin}.wasm"));
    assert!(component.exists(), "{} is missing: run `cargo xtask plugins`", component.display());
    // Many cases have the same configuration, which is compiled only once.
    let cache = Some(scratch.join("cache"));
    let sandbox = Sandbox::new(&SandboxSettings { slots: 2, cache, ..SandboxSettings::default() }).unwrap();
    let component = sandbox.load(&component).unwrap();
    let runner = Runner::new(&sandbox, &component);

    let folders = find(&repository().join("plugins").join(plugin).join("cases")).unwrap();
    assert!(!folders.is_empty(), "{plugin} has no cases");
    let mut wrong = Vec::new();
    for folder in &folders {
        let Tested { name, report } = Tested::run(&runner, folder, false).await;
        match report {
            Report::Passed => {}
            Report::Failed { difference, .. } => wrong.push(format!("{name}:\n{difference}")),
            Report::Mistake { mistake } => wrong.push(mistake.to_string()),
            Report::Updated => wrong.push(format!("{name} was changed")),
        }
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", folders.len(), wrong.join("\n"));
}
