//! Limits of the host, obeyed and violated.

use crate::{greeted, mail, passed, run};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};
use wasmilter_tests::{
    fake_mta::{Flavour, Mail},
    scratch::Scratch,
    script::stage,
    wasmilter::Wasmilter,
};

fn sized(bytes: usize) -> Mail {
    Mail::new(
        &[("Subject", " sized")],
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(bytes / 64),
    )
}

#[test]
fn a_message_past_the_size_limit_is_refused_and_the_session_goes_on() {
    let scratch = Scratch::new("limits");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let config =
        String::from("[limits]\nmessage_size = \"1MB\"\n") + &stage("look", "noop", "grants = [\"body\"]", &json!({}));
    let host = Wasmilter::start_at(&address, &config);
    run(async {
        for flavour in [Flavour::Postfix, Flavour::Sendmail] {
            let mut mta = greeted(&address, flavour).await;
            let outcome = mta.send(&sized(990_000)).await.unwrap();
            assert!(passed(&outcome), "{outcome:?}");
            let outcome = mta.send(&sized(5_000_000)).await.unwrap();
            assert!(outcome.reply.text().starts_with("552 5.3.4"), "{outcome:?}");
            let outcome = mta.send(&mail("small")).await.unwrap();
            assert!(passed(&outcome), "{outcome:?}");
            mta.quit().await.unwrap();
        }
    });
    host.stop();
}

#[test]
fn one_message_too_many_in_flight_is_told_to_come_again() {
    let scratch = Scratch::new("limits");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let slow = stage(
        "slow",
        "slow",
        "grants = [\"headers\", \"clock\"]\ntimeout = \"30s\"\nlimits = { cpu = \"30s\" }",
        &json!({ "milliseconds": 12_000, "subject": "slow" }),
    );
    let host = Wasmilter::start_at(&address, &(String::from("[limits]\nin_flight = 1\n") + &slow));
    run(async {
        let mut first = greeted(&address, Flavour::Postfix).await;
        let mut second = greeted(&address, Flavour::Sendmail).await;
        let slow = async {
            let message = mail("slow");
            let outcome = first.send(&message).await.unwrap();
            assert!(passed(&outcome), "{outcome:?}");
            assert!(outcome.progress >= 1, "no sign of life in 12 s: {outcome:?}");
        };
        let refused = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let started = Instant::now();
            let message = mail("quick");
            let outcome = second.send(&message).await.unwrap();
            assert!(outcome.reply.text().starts_with("451 4."), "{outcome:?}");
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        };
        tokio::join!(slow, refused);
        let outcome = second.send(&mail("quick")).await.unwrap();
        assert!(passed(&outcome), "{outcome:?}");
    });
    host.stop();
}

#[test]
fn a_stage_without_a_free_slot_fails_as_overloaded() {
    let scratch = Scratch::new("limits");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let more = "grants = [\"headers\", \"clock\"]\ntimeout = \"1500ms\"\nconcurrency = 1\non_failure = \"tempfail\"";
    let config = stage("slow", "slow", more, &json!({ "milliseconds": 1_200 }));
    let host = Wasmilter::start_at(&address, &(String::from("[limits]\nworkers = 1\n") + &config));
    run(async {
        let mut mtas = Vec::new();
        for _connection in 0..6 {
            mtas.push(greeted(&address, Flavour::Postfix).await);
        }
        let message = mail("six at once");
        let sending = mtas.iter_mut().map(|mta| mta.send(&message));
        let outcomes = futures_util::future::join_all(sending).await;
        let through = outcomes.iter().filter(|outcome| passed(outcome.as_ref().unwrap())).count();
        assert!((1..6).contains(&through), "{through} of 6 passed: {outcomes:?}");
        for outcome in outcomes.into_iter().map(Result::unwrap).filter(|outcome| !passed(outcome)) {
            assert!(outcome.reply.text().starts_with("451 4."), "{outcome:?}");
        }
    });
    let metrics = host.metrics();
    assert!(metrics.sum("wasmilter_stage_failures_total", &["cause=\"overload\""]) >= 1.0, "{}", metrics.text());
    assert_eq!(metrics.sum("wasmilter_stage_waiting", &[]), 0.0);
    host.stop();
}

#[test]
fn large_bodies_leave_no_file_behind() {
    let scratch = Scratch::new("limits");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let spool = scratch.directory("spool");
    let config = format!("[limits]\nbody_in_memory = \"64kB\"\nqueue_time = \"30s\"\n[spool]\ndirectory = {spool:?}\n")
        + &stage("slow", "slow", "grants = [\"headers\", \"clock\"]", &json!({ "milliseconds": 500 }));
    let host = Wasmilter::start_at(&address, &config);
    let files = || fs::read_dir(&spool).unwrap().count();
    run(async {
        let mut mtas = Vec::new();
        for _connection in 0..4 {
            mtas.push(greeted(&address, Flavour::Postfix).await);
        }
        let message = sized(3_000_000);
        let sending = mtas.iter_mut().map(|mta| mta.send(&message));
        let looking = async {
            for _look in 0..20 {
                // Not even while they are in use: whatever ends the process, nothing stays.
                assert_eq!(files(), 0);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (outcomes, ()) = tokio::join!(futures_util::future::join_all(sending), looking);
        for outcome in outcomes {
            assert!(passed(&outcome.unwrap()));
        }
    });
    assert_eq!(files(), 0);
    host.stop();
}
