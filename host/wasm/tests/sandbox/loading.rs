//! Loading: the cache, and files that are no plugins.

use crate::support::{decide, guest_path, message, sandbox, stage};
use proptest::prelude::*;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};
use wasmilter_wasm::{LoadError, Outside, Sandbox, SandboxError, SandboxSettings};

fn cached(directory: &Path) -> Result<Sandbox, SandboxError> {
    Sandbox::new(&SandboxSettings { slots: 4, cache: Some(directory.to_owned()), ..SandboxSettings::default() })
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_second_start_takes_less_than_a_second_and_damage_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("cache");
    let load = |sandbox: &Sandbox| {
        let component = sandbox.load(&guest_path("scripted")).unwrap();
        sandbox.prepare(&component, stage(&json!({})), &Outside::nothing()).unwrap()
    };
    load(&cached(&directory).unwrap());
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    // The component, the same with accessors, the snapshot.
    assert_eq!(files(&directory).len(), 3);

    let start = Instant::now();
    load(&cached(&directory).unwrap());
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());

    for (number, path) in files(&directory).into_iter().enumerate() {
        let mut bytes = fs::read(&path).unwrap();
        match number {
            0 => bytes.truncate(10),
            1 => bytes.clear(),
            _ => *bytes.last_mut().unwrap() ^= 1,
        }
        fs::write(&path, bytes).unwrap();
    }
    let plugin = load(&cached(&directory).unwrap());
    decide(&plugin, message("good")).await.unwrap();
}

#[test]
fn a_cache_that_others_can_enter_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(cached(scratch.path()), Err(SandboxError::Cache { .. })));
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
    cached(scratch.path()).unwrap();
}

#[test]
fn what_is_no_plugin_is_said_to_be_none() {
    let sandbox = sandbox();
    assert!(matches!(sandbox.load(Path::new("/nowhere")), Err(LoadError::Read { .. })));
    assert!(matches!(sandbox.load_bytes("x", b"hello"), Err(LoadError::NotWasm { .. })));
    assert!(matches!(sandbox.load_bytes("x", &wat::parse_str("(module)").unwrap()), Err(LoadError::Module { .. })));
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(sandbox.load_bytes("x", &empty), Err(LoadError::NotAPlugin { .. })));
}

/// A component whose `describe` returns a record at `address`, whose lists say that they are 2³¹ bytes long.
fn lying(address: u32) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "describe") (result i32) i32.const {address})
    (func (export "configure") (param i32 i32) (result i32) i32.const 0)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (data (i32.const 16) "\00\00\01\00\ff\ff\ff\7f\00\00\01\00\ff\ff\ff\7f"))
  (core instance $i (instantiate $m))
  (type $info' (record (field "name" string) (field "version" string) (field "summary" string)
    (field "licence" string) (field "home-page" string) (field "grants" (list string)) (field "config-schema" string)))
  (type $problem' (record (field "path" string) (field "message" string)))
  (component $lifecycle
    (import "info" (type $info (eq $info')))
    (import "problem" (type $problem (eq $problem')))
    (import "describe" (func $describe (result $info)))
    (import "configure" (func $configure (param "config" string) (result (result (error (list $problem))))))
    (export $info2 "plugin-info" (type $info))
    (export $problem2 "problem" (type $problem))
    (export "describe" (func $describe) (func (result $info2)))
    (export "configure" (func $configure) (func (param "config" string) (result (result (error (list $problem2)))))))
  (func $describe (result $info')
    (canon lift (core func $i "describe") (memory (core memory $i "memory"))))
  (func $configure (param "config" string) (result (result (error (list $problem'))))
    (canon lift (core func $i "configure") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $l (instantiate $lifecycle (with "info" (type $info')) (with "problem" (type $problem'))
    (with "describe" (func $describe)) (with "configure" (func $configure))))
  (export "wasmilter:policy/lifecycle@1.0.0" (instance $l)))"#
    ))
    .unwrap()
}

#[test]
fn lying_lengths_end_in_an_error() {
    let sandbox = sandbox();
    // A record of lies; one past the end of memory; one that is not aligned. At 8192 there are zeros: honest.
    for address in [16, 65_530, 4_000_000_000, 17] {
        let outcome = sandbox.load_bytes("liar", &lying(address));
        assert!(matches!(outcome, Err(LoadError::Describe { .. })), "{address}: {outcome:?}");
    }
    assert!(matches!(sandbox.load_bytes("honest", &lying(8192)), Err(LoadError::NotAPlugin { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
        let sandbox = SANDBOX.get_or_init(sandbox);
        prop_assert!(sandbox.load_bytes("x", &bytes).is_err());
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        component.extend(&bytes);
        drop(sandbox.load_bytes("x", &component));
    }
}

#[test]
fn a_damaged_plugin_never_panics() {
    let sandbox = sandbox();
    let whole = fs::read(guest_path("noop")).unwrap();
    for step in 0..40 {
        let mut damaged = whole.clone();
        let at = whole.len() * step / 40;
        damaged[at] ^= 0x5a;
        drop(sandbox.load_bytes("damaged", &damaged));
        assert!(sandbox.load_bytes("cut", &whole[..at]).is_err());
    }
}
