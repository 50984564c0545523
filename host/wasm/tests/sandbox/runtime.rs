//! A plugin as a language runtime makes it: it imports WASI, which is there and empty. And what a host call of such a
//! plugin costs the others on its thread.

use crate::support::{encoded, message, parsed, sandbox, stage, worked};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use wasmilter_message::{
    decision::{HookDecision, HookVerdict, Verdict},
    facts::Value,
    failure::{Cause, Failure},
    judge::Hook,
    policy::Policy,
};
use wasmilter_wasm::{Isolation, Limits, Outside, Plugin, Sandbox, StartedFrom};

/// What the guest below imports and exports.
const WORLD: &str = include_str!("runtime.wit");

/// At connect it publishes what it sees; at HELO it asks for randomness, at MAIL for standard output, both without end;
/// of a message it asks how big its content is.
const GUEST: &str = include_str!("runtime.wat");

fn guest() -> Vec<u8> {
    encoded(WORLD, GUEST)
}

fn plugin(sandbox: &Sandbox, limits: Limits, isolation: Isolation) -> Plugin {
    let mut settings = stage(&json!({}));
    settings.grants.attachments = true;
    let settings = wasmilter_wasm::StageSettings { limits, isolation, ..settings };
    sandbox.prepare(&sandbox.load_bytes("runtime", &guest()).unwrap(), settings, &Outside::nothing()).unwrap()
}

async fn ask(plugin: &Plugin, hook: Hook, limit: Duration) -> Result<HookDecision, Failure> {
    plugin.hook(hook, message("good"), wasmilter_message::deadline::Deadline::after(limit)).await.outcome
}

const PLENTY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_sees_no_files_no_environment_no_sockets_no_time_and_no_randomness() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, Limits::default(), Isolation::Message);
    assert_eq!(plugin.started_from(), StartedFrom::Snapshot);
    let first = ask(&plugin, Hook::Connect, PLENTY).await.unwrap();
    assert_eq!(first.verdict, HookVerdict::Next);
    let fact = |name: &str| match first.facts.iter().find(|fact| fact.name == name).map(|fact| &fact.value) {
        Some(Value::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    };
    for (name, expected) in [("env", 0.0), ("args", 0.0), ("dirs", 0.0), ("time", 0.0), ("deny", 1.0)] {
        assert!((fact(name) - expected).abs() < f64::EPSILON, "{name} is {}", fact(name));
    }
    assert_eq!(ask(&plugin, Hook::Connect, PLENTY).await.unwrap(), first, "something differs from call to call");
}

#[tokio::test]
async fn calls_of_wasi_are_limited() {
    let sandbox = sandbox();
    for isolation in [Isolation::Message, Isolation::Worker { messages: 10 }] {
        let plugin = plugin(&sandbox, Limits { host_calls: 10_000, ..Limits::default() }, isolation);
        let failure = ask(&plugin, Hook::Helo, PLENTY).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Limit, "{failure}");
        ask(&plugin, Hook::Connect, PLENTY).await.unwrap();
    }
    let plugin = plugin(&sandbox, Limits { host_calls: 3, ..Limits::default() }, Isolation::Message);
    let failure = ask(&plugin, Hook::Connect, PLENTY).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Limit, "who passes the limit and answers at once: {failure}");
}

#[tokio::test]
async fn handles_are_limited() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, Limits::default(), Isolation::Message);
    let failure = ask(&plugin, Hook::Mail, PLENTY).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Limit, "{failure}");
    ask(&plugin, Hook::Connect, PLENTY).await.unwrap();
}

/// Calls of the host that have to parse and decode a big message do so elsewhere.
#[tokio::test]
async fn decoding_a_big_part_stalls_nobody_on_the_thread() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, Limits::default(), Isolation::Message);
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let header = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                  Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let text = format!("{header}{}\r\n--b--\r\n", line.repeat((50 << 20) / line.len()));
    let big = parsed(&text);
    let judged = Arc::clone(&big);
    let judging = tokio::spawn(async move {
        let start = Instant::now();
        let decision = plugin.decide(judged, wasmilter_message::deadline::Deadline::after(PLENTY)).await.outcome;
        (decision, start.elapsed())
    });
    // One thread: the test's runtime. How long it worked before it came back to this task, at most:
    let mut away = Duration::ZERO;
    while !judging.is_finished() {
        let before = worked();
        tokio::task::yield_now().await;
        away = away.max(worked().saturating_sub(before));
    }
    let (decision, took) = judging.await.unwrap();
    assert_eq!(decision.unwrap().verdict, Verdict::Next);
    drop(big);
    assert!(away < Duration::from_millis(20), "away for {away:?} of {took:?}");
}
