//! Plugins that were built for other versions of the contract.

use crate::support::{decide, guest_path, message, sandbox, stage};
use serde_json::json;
use std::time::Duration;
use wasmilter_message::{
    deadline::Deadline,
    decision::{HookVerdict, Verdict},
    envelope::Mailbox,
    failure::Failure,
    judge::Hook,
    policy::Policy,
};
use wasmilter_wasm::{Component, LoadError, Outside, Sandbox, StartedFrom};

/// A guest that says it was built for `version`, which is as long as `1.0.0`: in names of imports and exports only.
fn built_for(sandbox: &Sandbox, version: &str) -> Result<Component, LoadError> {
    let mut bytes = std::fs::read(guest_path("scripted")).unwrap();
    let (package, old) = (b"wasmilter:policy/", b"@1.0.0");
    assert_eq!(version.len() + 1, old.len());
    let mut at = 0;
    let mut renamed = 0;
    while let Some(found) = find(&bytes[at..], package) {
        let name = at + found + package.len();
        let end = name + bytes[name..].iter().position(|byte| *byte == b'@').unwrap();
        assert_eq!(&bytes[end..end + old.len()], old);
        bytes[end + 1..end + old.len()].copy_from_slice(version.as_bytes());
        at = end;
        renamed += 1;
    }
    assert!(renamed > 5);
    sandbox.load_bytes("other", &bytes)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[tokio::test]
async fn another_patch_version_runs_and_gets_its_snapshot() -> Result<(), Failure> {
    let sandbox = sandbox();
    for version in ["1.0.0", "1.0.7"] {
        let component = built_for(&sandbox, version).unwrap();
        assert!(component.inspection().exports.iter().any(|export| export.ends_with(&format!("@{version}"))));
        let settings = stage(&json!({"report": true, "edits": [{"add-header": {"name": "X", "value": "y"}}]}));
        let plugin = sandbox.prepare(&component, settings, &Outside::nothing()).unwrap();
        assert_eq!(plugin.started_from(), StartedFrom::Snapshot);
        let decision = decide(&plugin, message("hello")).await?;
        assert_eq!(decision.edits.len(), 1);
        assert!(decision.facts.iter().any(|fact| fact.name == "sender"));
    }
    Ok(())
}

#[test]
fn later_minor_versions_and_other_majors_are_refused_with_both_named() {
    let sandbox = sandbox();
    for version in ["1.1.0", "2.0.0", "0.1.0"] {
        match built_for(&sandbox, version) {
            Err(error @ LoadError::Version { .. }) => {
                let words = error.to_string();
                assert!(words.contains(&format!("version {version}")) && words.contains("has 1.0.0"), "{words}");
            }
            other => panic!("{version}: {other:?}"),
        }
    }
}

/// What a later host stands on: wasmtime finds interfaces of an earlier minor version under later names, both ways.
#[test]
fn wasmtime_looks_names_up_by_semver() {
    let engine = wasmtime::Engine::default();
    let text = r#"(component
        (import "a:b/in@1.0.0" (instance (export "f" (func))))
        (core module $m (func (export "g")))
        (core instance $i (instantiate $m))
        (func $g (canon lift (core func $i "g")))
        (instance $out (export "g" (func $g)))
        (export "a:b/out@1.0.0" (instance $out)))"#;
    let component = wasmtime::component::Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let mut linker = wasmtime::component::Linker::<()>::new(&engine);
    linker.instance("a:b/in@1.3.0").unwrap().func_wrap("f", |_, ()| Ok(())).unwrap();
    linker.instantiate_pre(&component).unwrap();
    assert!(component.get_export_index(None, "a:b/out@1.3.0").is_some());
    assert!(component.get_export_index(None, "a:b/out@2.0.0").is_none());
}

/// Made when 1.0 was frozen (`fixtures/contract-1.0.wat`): every function of the contract with its types, and every hook. It is not made
/// anew; where it does not load, the contract was changed for every plugin that exists.
#[tokio::test]
async fn what_was_built_for_1_0_runs_in_this_host() {
    let sandbox = sandbox();
    let component = sandbox.load_bytes("fixture", include_bytes!("../fixtures/contract-1.0.wasm")).unwrap();
    let inspection = component.inspection();
    let needed = ["clock", "dns", "envelope", "headers", "random", "raw", "store", "text or attachments"];
    let mut grants = inspection.needs_grants.clone();
    grants.sort();
    assert_eq!(grants, needed);
    assert_eq!((inspection.imports.len(), inspection.exports.len()), (13, 6), "{inspection:?}");
    let mut settings = stage(&json!({}));
    for grant in ["body", "dns", "store", "clock", "random"] {
        settings.grants.add(grant).unwrap();
    }
    let plugin = sandbox.prepare(&component, settings, &Outside::nothing()).unwrap();
    assert_eq!(plugin.started_from(), StartedFrom::Snapshot);
    assert_eq!(decide(&plugin, message("x")).await.unwrap().verdict, Verdict::Next);
    for hook in [Hook::Connect, Hook::Helo, Hook::Mail, Hook::Rcpt(Mailbox::new("<a@example.org>"))] {
        let decision = plugin.hook(hook, message("x"), Deadline::after(Duration::from_secs(20))).await.outcome.unwrap();
        assert_eq!(decision.verdict, HookVerdict::Next);
    }
}
