//! What a call used is told with its outcome, whatever that is.

use crate::support::{guest, message, plugin, sandbox, stage};
use serde_json::json;
use std::time::Duration;
use wasmilter_message::{
    deadline::Deadline,
    failure::Cause,
    limit::Limit,
    policy::{Called, Policy},
};
use wasmilter_wasm::{Limits, Outside, StageSettings};

#[tokio::test]
async fn memory_and_processor_time_of_a_call_are_told() {
    let sandbox = sandbox();
    let bomb = plugin(&sandbox, "memory-bomb", &json!({"bytes": 8 << 20}));
    assert!(bomb.image_bytes() > 1000, "{}", bomb.image_bytes());
    let ask = |subject| bomb.decide(message(subject), Deadline::after(Duration::from_secs(20)));
    let Called { outcome, used } = ask("bad").await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!((8 << 20..64 << 20).contains(&used.memory), "{}", used.memory);
    assert!(used.cpu > Duration::ZERO && used.cpu < Duration::from_secs(5), "{:?}", used.cpu);
    // A fresh instance for every message: the next one has little again.
    let used = ask("good").await.used;
    assert!((1..8 << 20).contains(&used.memory), "{}", used.memory);
    assert_eq!(sandbox.occupancy().calls, 0);
}

#[tokio::test]
async fn what_a_failed_call_used_is_told_too() {
    let sandbox = sandbox();
    let component = guest(&sandbox, "endless-loop");
    let limits = Limits { cpu: Duration::from_millis(50), ..Limits::default() };
    let settings = StageSettings { limits, ..stage(&json!({})) };
    let spinning = sandbox.prepare(&component, settings, &Outside::nothing()).unwrap();
    let Called { outcome, used } = spinning.decide(message("bad"), Deadline::after(Duration::from_secs(20))).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.cause, failure.limit), (Cause::Cpu, Some(Limit::Cpu)));
    assert!(used.cpu >= Duration::from_millis(50), "{:?}", used.cpu);
}

#[tokio::test]
async fn a_stack_overflow_is_a_trap_and_a_limit() {
    let recursion = plugin(&sandbox(), "deep-recursion", &json!({"depth": 100_000_000}));
    let failure = recursion.decide(message("bad"), Deadline::after(Duration::from_secs(20))).await.outcome.unwrap_err();
    assert_eq!((failure.cause, failure.limit), (Cause::Trap, Some(Limit::Stack)));
}
