//! Limits, obeyed and violated. Every violation happens beside a neighbour in the same plugin, and is followed by a good
//! message: neither may notice.

use crate::support::{
    decide, decide_within, encoded, guest, join_all, message, parsed, plugin, sandbox, stage, worked,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{io, sync::Arc, time::Duration};
use wasmilter_message::{
    body::{BodyStore, BodyWriter},
    decision::{Decision, Verdict},
    failure::{Cause, Failure},
};
use wasmilter_wasm::{Isolation, Limits, LoadError, Outside, Plugin, SandboxSettings};

/// Has the plugin judge a bad message and a good one at the same time, then another good one; gives what became of the bad
/// one.
async fn bad_beside_good(plugin: &Plugin, limit: Duration) -> Result<Decision, Failure> {
    let (bad, neighbour) = tokio::join!(decide_within(plugin, message("bad"), limit), decide(plugin, message("good")));
    assert_eq!(neighbour.expect("the neighbour is unharmed").verdict, Verdict::Next);
    let next = decide(plugin, message("good")).await;
    assert_eq!(next.expect("the next message is unharmed").verdict, Verdict::Next);
    bad.0
}

async fn becomes(guest: &str, config: Value, expected: Option<Cause>) {
    becomes_with(guest, config, Limits::default(), expected).await;
}

async fn becomes_with(name: &str, config: Value, limits: Limits, expected: Option<Cause>) {
    let sandbox = sandbox();
    let component = guest(&sandbox, name);
    for isolation in [Isolation::Message, Isolation::Worker { messages: 100 }] {
        let settings = wasmilter_wasm::StageSettings { limits, isolation, ..stage(&config) };
        let plugin = sandbox.prepare(&component, settings, &Outside::nothing()).unwrap();
        let outcome = bad_beside_good(&plugin, Duration::from_secs(10)).await;
        let cause = outcome.as_ref().err().map(|failure| failure.cause);
        assert_eq!(cause, expected, "{name} {config} {isolation:?}: {outcome:?}");
        // Whoever hits a limit is told which.
        let limit = outcome.err().and_then(|failure| failure.limit);
        if let Some(Cause::Limit | Cause::Cpu | Cause::Memory | Cause::Timeout) = expected {
            assert_eq!(limit.map(wasmilter_message::limit::Limit::cause), expected, "{name} {config}");
        }
    }
}

#[tokio::test]
async fn memory() {
    let limits = Limits { memory: 16 << 20, ..Limits::default() };
    becomes_with("memory-bomb", json!({"bytes": 8 << 20}), limits, None).await;
    becomes_with("memory-bomb", json!({"bytes": 32 << 20}), limits, Some(Cause::Memory)).await;
    becomes_with("memory-bomb", json!({"bytes": 1_000_000_000}), limits, Some(Cause::Memory)).await;
}

#[tokio::test]
async fn stack() {
    becomes("deep-recursion", json!({"depth": 1000}), None).await;
    becomes("deep-recursion", json!({"depth": 100_000_000}), Some(Cause::Trap)).await;
}

#[tokio::test]
async fn traps() {
    for how in ["panic", "unreachable", "divide", "bounds"] {
        becomes("trap", json!({"how": how}), Some(Cause::Trap)).await;
    }
    becomes("trap", json!({"how": "fail"}), Some(Cause::Service)).await;
    becomes("trap", json!({"subject": "no message has this"}), None).await;
}

#[tokio::test]
async fn edits_and_content() {
    let limits = Limits {
        edits: 100,
        facts: 10,
        fact_bytes: 1000,
        inline_bytes: 1 << 20,
        output_bytes: 4 << 20,
        ..Limits::default()
    };
    for (config, expected) in [
        (json!({"edits": 100}), None),
        (json!({"edits": 101}), Some(Cause::Limit)),
        (json!({"facts": 10}), None),
        (json!({"facts": 11}), Some(Cause::Limit)),
        (json!({"fact_bytes": 900}), None),
        (json!({"fact_bytes": 1001}), Some(Cause::Limit)),
        (json!({"content": 900_000}), None),
        (json!({"content": 1_100_000}), Some(Cause::Limit)),
        (json!({"blob": 4 << 20}), None),
        (json!({"blob": (4 << 20) + 1}), Some(Cause::Limit)),
        (json!({"blobs": 64}), None),
        (json!({"blobs": 65}), Some(Cause::Limit)),
    ] {
        becomes_with("huge-decision", config, limits, expected).await;
    }
}

#[tokio::test]
async fn log_lines_and_bytes() {
    becomes("chatty", json!({"lines": 100, "length": 100}), None).await;
    becomes("chatty", json!({"lines": 101, "length": 100}), Some(Cause::Limit)).await;
    // A line has an LF, which becomes a space.
    let limits = Limits { log_bytes: 101 * 20, ..Limits::default() };
    becomes_with("chatty", json!({"lines": 20, "length": 100}), limits, None).await;
    becomes_with("chatty", json!({"lines": 21, "length": 100}), limits, Some(Cause::Limit)).await;
    // Lines are cut before they count.
    becomes("chatty", json!({"lines": 50, "length": 100_000}), None).await;
    becomes("chatty", json!({"lines": 60, "length": 100_000}), Some(Cause::Limit)).await;
}

#[tokio::test]
async fn calls_of_the_host() {
    // The subject is read once.
    let limits = Limits { host_calls: 21, ..Limits::default() };
    becomes_with("chatty", json!({"lines": 20}), limits, None).await;
    becomes_with("chatty", json!({"lines": 21}), limits, Some(Cause::Limit)).await;
    let limits = Limits { host_calls: 10_000, ..Limits::default() };
    becomes_with("endless-loop", json!({"in": "host"}), limits, Some(Cause::Limit)).await;
}

#[tokio::test]
async fn processor_time() {
    let limits = Limits { cpu: Duration::from_millis(100), ..Limits::default() };
    becomes_with("endless-loop", json!({}), limits, Some(Cause::Cpu)).await;
    becomes_with("endless-loop", json!({"in": "host"}), limits, Some(Cause::Cpu)).await;
    becomes_with("huge-decision", json!({"edits": 100}), limits, None).await;
}

/// Others on the same thread, and the machine's other work, do not count.
#[tokio::test]
async fn only_the_calls_own_processor_time_counts() {
    let sandbox = sandbox();
    let limits = Limits { cpu: Duration::from_millis(300), ..Limits::default() };
    let settings = wasmilter_wasm::StageSettings { limits, ..stage(&json!({})) };
    let spinning = sandbox.prepare(&guest(&sandbox, "endless-loop"), settings, &Outside::nothing()).unwrap();
    let before = worked();
    // One thread, three guests that compute without end: each gets its own 300 ms.
    let calls = (0..3).map(|_| decide_within(&spinning, message("bad"), Duration::from_secs(60)));
    for (outcome, _) in join_all(calls).await {
        assert_eq!(outcome.unwrap_err().cause, Cause::Cpu);
    }
    let used = worked() - before;
    // Less some milliseconds at the beginning of each, when the clock is not looked at closely.
    assert!((Duration::from_millis(880)..Duration::from_millis(1200)).contains(&used), "{used:?}");
}

#[tokio::test]
async fn a_spinning_guest_dies_within_20_ms_of_its_deadline() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "endless-loop", &json!({}));
    let limit = Duration::from_millis(100);
    let mut late = Vec::new();
    for _ in 0..5 {
        let (outcome, took) = decide_within(&plugin, message("bad"), limit).await;
        assert_eq!(outcome.unwrap_err().cause, Cause::Timeout);
        assert!(took >= limit);
        late.push(took - limit);
    }
    // The best of five: the machine may be busy with other tests.
    assert!(late.iter().min().unwrap() <= &Duration::from_millis(20), "late by {late:?}");
    assert_eq!(decide(&plugin, message("good")).await.unwrap().verdict, Verdict::Next);
}

#[tokio::test]
async fn a_spinning_guest_stalls_nobody_on_its_thread() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "endless-loop", &json!({}));
    let spinning = decide_within(&plugin, message("bad"), Duration::from_millis(500));
    let neighbours = async {
        let mut judged = 0;
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            decide(&plugin, message("good")).await.unwrap();
            judged += 1;
        }
        judged
    };
    // One thread: the test's runtime.
    let ((outcome, _), judged) = tokio::join!(spinning, neighbours);
    assert_eq!(outcome.unwrap_err().cause, Cause::Timeout);
    assert!(judged > 20, "only {judged} messages were judged beside it");
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_no_call() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "noop", &json!({}));
    let (outcome, _) = decide_within(&plugin, message("good"), Duration::ZERO).await;
    assert_eq!(outcome.unwrap_err().cause, Cause::Timeout, "the stage's on_failure decides");
}

#[tokio::test]
async fn a_slow_guest_is_in_time_or_not() {
    let sandbox = sandbox();
    let mut settings = stage(&json!({"milliseconds": 100}));
    settings.grants.clock = true;
    let plugin = sandbox.prepare(&guest(&sandbox, "slow"), settings, &Outside::nothing()).unwrap();
    let (outcome, took) = decide_within(&plugin, message("good"), Duration::from_secs(20)).await;
    assert_eq!(outcome.unwrap().verdict, Verdict::Next);
    assert!(took >= Duration::from_millis(100));
    let (outcome, _) = decide_within(&plugin, message("good"), Duration::from_millis(50)).await;
    assert_eq!(outcome.unwrap_err().cause, Cause::Timeout);
}

#[tokio::test]
async fn more_calls_than_slots_are_refused_at_once() {
    let settings = SandboxSettings { slots: 2, ..SandboxSettings::default() };
    let sandbox = wasmilter_wasm::Sandbox::new(&settings).unwrap();
    let plugin = plugin(&sandbox, "endless-loop", &json!({}));
    let limit = Duration::from_millis(200);
    let (first, second, third) = tokio::join!(
        decide_within(&plugin, message("bad"), limit),
        decide_within(&plugin, message("bad"), limit),
        decide_within(&plugin, message("good"), limit),
    );
    assert_eq!(first.0.unwrap_err().cause, Cause::Timeout);
    assert_eq!(second.0.unwrap_err().cause, Cause::Timeout);
    assert_eq!(third.0.unwrap_err().cause, Cause::Overload);
    assert_eq!(decide(&plugin, message("good")).await.unwrap().verdict, Verdict::Next);
}

/// A disk that is full: says so when something is written, or only at the end.
#[derive(Clone, Copy)]
struct Full {
    at_once: bool,
}

impl BodyStore for Full {
    fn start(&self) -> Box<dyn BodyWriter> {
        Box::new(*self)
    }
}

impl BodyWriter for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        if self.at_once { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn len(&self) -> u64 {
        0
    }

    fn finish(self: Box<Self>) -> io::Result<Bytes> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[tokio::test]
async fn a_full_disk_is_the_hosts_failure_and_not_the_plugins() {
    for at_once in [true, false] {
        let bodies = Arc::new(Full { at_once });
        let settings = SandboxSettings { slots: 4, bodies, ..SandboxSettings::default() };
        let sandbox = wasmilter_wasm::Sandbox::new(&settings).unwrap();
        let plugin = plugin(&sandbox, "huge-decision", &json!({"blob": 1000}));
        let failure = decide(&plugin, message("bad")).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Store, "{failure}");
    }
}

#[test]
fn a_component_with_more_memories_and_tables_than_its_share_is_refused() {
    let sandbox = sandbox();
    for (what, count) in [("memory 1", 3), ("table 1 funcref", 9)] {
        let instances: String = (0..count).map(|n| format!("(core instance $i{n} (instantiate $m))")).collect();
        let component = wat::parse_str(format!("(component (core module $m ({what})) {instances})")).unwrap();
        let outcome = sandbox.load_bytes("greedy", &component);
        assert!(matches!(outcome, Err(LoadError::Invalid { .. })), "{what}: {outcome:?}");
    }
}

/// A guest that grows its table by as many entries as the message has header fields named `Grow`, a thousand each, and answers only
/// when it got them.
fn table_growing() -> Vec<u8> {
    encoded(
        "package test:guest; world guest { import wasmilter:policy/headers@1.0.0; \
         export wasmilter:policy/lifecycle@1.0.0; export wasmilter:policy/message-policy@1.0.0; }",
        r#"(module
          (import "wasmilter:policy/headers@1.0.0" "count" (func $count (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (table $t 1 funcref)
          (data (i32.const 1024) "Grow")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 32768)
          (func (export "wasmilter:policy/lifecycle@1.0.0#describe") (result i32) i32.const 8192)
          (func (export "wasmilter:policy/lifecycle@1.0.0#configure") (param i32 i32) (result i32) i32.const 8192)
          (func (export "wasmilter:policy/message-policy@1.0.0#decide") (result i32)
            (if (i32.eq (i32.const -1)
                (table.grow $t (ref.null func)
                  (i32.mul (i32.const 1000) (call $count (i32.const 1024) (i32.const 4)))))
              (then unreachable))
            (i32.const 8192)))"#,
    )
}

#[tokio::test]
async fn tables() {
    let sandbox = sandbox();
    let component = sandbox.load_bytes("table", &table_growing()).unwrap();
    let plugin = sandbox.prepare(&component, stage(&json!({})), &Outside::nothing()).unwrap();
    let growing = |times: usize| parsed(&format!("{}\r\n", "Grow: x\r\n".repeat(times)));
    for (times, expected) in [(0, None), (65, None), (66, Some(Cause::Limit)), (4000, Some(Cause::Limit))] {
        let outcome = decide(&plugin, growing(times)).await;
        assert_eq!(outcome.as_ref().err().map(|failure| failure.cause), expected, "{times}: {outcome:?}");
    }
}
