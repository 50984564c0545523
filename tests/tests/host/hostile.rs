//! Every hostile guest: what it does to its message is what `on_failure` says; the next message on the connection, and
//! a neighbour that is judged meanwhile, do not notice.

use crate::{greeted, mail, passed, run};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wasmilter_tests::{
    fake_mta::{FakeMta, Flavour},
    scratch::Scratch,
    script::stage,
    wasmilter::Wasmilter,
};

#[test]
fn an_endless_loop() {
    hurts_only_its_own("endless-loop", "grants = [\"headers\"]\ntimeout = \"300ms\"", &json!({}), "timeout");
}

#[test]
fn an_endless_loop_of_calls() {
    hurts_only_its_own(
        "endless-loop",
        "grants = [\"headers\"]\ntimeout = \"300ms\"",
        &json!({ "in": "host" }),
        "timeout|limit",
    );
}

#[test]
fn a_memory_bomb() {
    hurts_only_its_own(
        "memory-bomb",
        "grants = [\"headers\"]\nmemory = \"16MB\"",
        &json!({ "bytes": 1_000_000_000 }),
        "memory",
    );
}

#[test]
fn a_deep_recursion() {
    hurts_only_its_own("deep-recursion", "grants = [\"headers\"]", &json!({}), "trap");
}

#[test]
fn a_panic() {
    hurts_only_its_own("trap", "grants = [\"headers\"]", &json!({ "how": "panic" }), "trap");
}

#[test]
fn a_read_outside_of_memory() {
    hurts_only_its_own("trap", "grants = [\"headers\"]", &json!({ "how": "bounds" }), "trap");
}

#[test]
fn a_part_that_does_not_exist() {
    hurts_only_its_own("trap", "grants = [\"headers\"]", &json!({ "how": "part" }), "trap");
}

#[test]
fn a_huge_decision() {
    hurts_only_its_own(
        "huge-decision",
        "grants = [\"headers\", \"body\"]",
        &json!({ "edits": 100_000 }),
        "limit|refused|memory",
    );
}

#[test]
fn forged_edits() {
    for forge in ["crlf", "name-colon", "nul", "part", "recipient", "client", "reply-code", "reply-text", "nan"] {
        hurts_only_its_own("forged-edits", "grants = [\"headers\", \"body\"]", &json!({ "forge": forge }), "refused");
    }
}

/// `causes` are the allowed ones, separated by `|`.
fn hurts_only_its_own(guest: &str, more: &str, config: &Value, causes: &str) {
    let scratch = Scratch::new("hostile");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let more = format!("{more}\non_failure = \"reject\"");
    let host = Wasmilter::start_at(&address, &stage("hostile", guest, &more, config));
    run(async {
        for flavour in [Flavour::Postfix, Flavour::Sendmail] {
            let (mut victim, mut neighbour) = (greeted(&address, flavour).await, greeted(&address, flavour).await);
            for _round in 0..2 {
                passes(&mut victim, guest).await;
                let (bad, good) = (mail("bad"), mail("good"));
                let hurt = async {
                    let outcome = victim.send(&bad).await.unwrap();
                    assert_eq!(outcome.reply.command, b'y', "{guest} {config}: {outcome:?}");
                    assert!(outcome.reply.text().starts_with("554"), "{guest} {config}: {outcome:?}");
                    assert!(outcome.edits.is_empty(), "{guest} {config}: {outcome:?}");
                };
                let beside = async {
                    let started = Instant::now();
                    for _message in 0..10 {
                        let outcome = neighbour.send(&good).await.unwrap();
                        assert!(passed(&outcome), "{guest} {config}: {outcome:?}");
                    }
                    assert!(started.elapsed() < Duration::from_secs(5), "{guest}: {:?}", started.elapsed());
                };
                tokio::join!(hurt, beside);
                passes(&mut victim, guest).await;
            }
            victim.quit().await.unwrap();
            neighbour.quit().await.unwrap();
        }
    });
    let metrics = host.metrics();
    let failures = |cause: &str| metrics.sum("wasmilter_stage_failures_total", &[&format!("cause={cause:?}")]);
    let allowed: f64 = causes.split('|').map(failures).sum();
    assert_eq!(allowed, 4.0, "{guest} {config}: {}", metrics.text());
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &[]), 4.0, "{guest} {config}");
    host.stop();
}

async fn passes(mta: &mut FakeMta, guest: &str) {
    let outcome = mta.send(&mail("good")).await.unwrap();
    assert!(passed(&outcome), "{guest}: {outcome:?}");
}
