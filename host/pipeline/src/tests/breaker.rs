//! A plugin that fails again and again is taken out of the way, and comes back. Time is the test's.

use super::fake::*;
use crate::{BreakerSettings, Limits, OnFailure};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wasmilter_message::{
    decision::{Decision, HookVerdict, Verdict},
    failure::{Cause, Failure},
    judge::{Hook, Needs},
    message::{JudgedMessage, Transaction},
};

const SECOND: Duration = Duration::from_secs(1);

/// A plugin whose next answers a test decides: None works, a cause fails by it.
fn moody() -> (Arc<Fake>, Arc<Mutex<Option<Cause>>>) {
    let mood: Arc<Mutex<Option<Cause>>> = Arc::default();
    let own = Arc::clone(&mood);
    let policy = acting(move |_, _| {
        let mood = *own.lock().expect("not poisoned");
        async move {
            match mood {
                None => Ok(Decision::verdict(Verdict::Next)),
                Some(cause) => Err(Failure::new(cause, "as the test wants it")),
            }
        }
    });
    (policy, mood)
}

fn set(mood: &Mutex<Option<Cause>>, cause: Option<Cause>) {
    *mood.lock().expect("not poisoned") = cause;
}

fn cause(judged: &JudgedMessage) -> Option<Cause> {
    judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause)
}

/// 0 closed, 1 open, 2 half open.
fn state(bench: &Bench) -> f64 {
    bench.metric("wasmilter_stage_breaker_state{stage=\"s\"}")
}

fn openings(bench: &Bench) -> f64 {
    bench.metric("wasmilter_stage_breaker_openings_total{stage=\"s\"}")
}

#[test]
fn four_failures_in_a_row_leave_it_closed_five_open_it() {
    paused(async {
        let (policy, mood) = moody();
        let bench = Bench::new(vec![stage("s", &policy)]);
        for _ in 0..3 {
            set(&mood, Some(Cause::Trap));
            for _ in 0..4 {
                assert_eq!(cause(&bench.judge().await), Some(Cause::Trap));
            }
            set(&mood, None);
            assert_eq!(bench.verdict().await, "accept", "one that works clears the count");
        }
        assert!(state(&bench) == 0.0 && openings(&bench) == 0.0);

        set(&mood, Some(Cause::Trap));
        for _ in 0..5 {
            assert_eq!(cause(&bench.judge().await), Some(Cause::Trap));
        }
        assert!(state(&bench) == 1.0 && openings(&bench) == 1.0);
        let calls = policy.calls();
        let judged = bench.judge().await;
        assert_eq!((cause(&judged), policy.calls()), (Some(Cause::CircuitOpen), calls), "the plugin is left alone");
        assert!(!judged.trace.stages[0].ran);
        assert_eq!(judged.verdict.name(), "tempfail");
        assert!(bench.metric("wasmilter_stage_failures_total{cause=\"circuit_open\",stage=\"s\"}") == 1.0);
    });
}

#[test]
fn every_fault_of_the_plugin_counts_and_nothing_else_does() {
    let counts =
        [Cause::Trap, Cause::Cpu, Cause::Memory, Cause::Limit, Cause::Refused, Cause::Service, Cause::Configure];
    // A time-out counts when the plugin had its time: see below.
    for of in Cause::ALL.into_iter().filter(|cause| *cause != Cause::Timeout) {
        paused(async move {
            let (policy, mood) = moody();
            let bench = Bench::new(vec![stage("s", &policy)]);
            set(&mood, Some(of));
            for _ in 0..5 {
                bench.judge().await;
            }
            assert_eq!(state(&bench) == 1.0, counts.contains(&of), "{of:?}");
        });
    }
}

#[test]
fn time_outs_count_when_the_plugin_had_its_time() {
    for (before, opens) in [(Duration::ZERO, true), (SECOND + SECOND / 3, false)] {
        paused(async move {
            let mut stages = vec![stage("before", &slow(before)), stage("s", &slow(3600 * SECOND))];
            // 1.5 s of the deadline for the first, and for the second what that leaves, up to its limit.
            (stages[0].timeout, stages[1].timeout) = (3 * SECOND, SECOND);
            let bench = Bench::with(stages, Limits { message_deadline: 2 * SECOND, ..Limits::default() });
            for _ in 0..5 {
                let judged = bench.judge().await;
                let failure = judged.trace.stages[1].failure.as_ref().map(|failure| failure.cause);
                assert_eq!(failure, Some(Cause::Timeout));
            }
            assert_eq!(state(&bench) == 1.0, opens, "{before:?}");
        });
    }
}

#[test]
fn after_the_pause_one_message_tries_and_the_pause_doubles_up_to_its_bound() {
    paused(async {
        let (policy, mood) = moody();
        let mut stages = vec![stage("s", &policy)];
        stages[0].breaker = BreakerSettings { failures: 1, pause: 30 * SECOND, longest_pause: 100 * SECOND };
        let bench = Bench::new(stages);
        set(&mood, Some(Cause::Trap));
        bench.judge().await;
        for pause in [30, 60, 100, 100] {
            let began = Instant::now();
            sleep(pause * SECOND - SECOND / 10).await;
            assert_eq!(cause(&bench.judge().await), Some(Cause::CircuitOpen), "{pause}");
            sleep(SECOND / 10).await;
            assert_eq!(cause(&bench.judge().await), Some(Cause::Trap), "{pause}: {:?}", began.elapsed());
            assert_eq!(cause(&bench.judge().await), Some(Cause::CircuitOpen), "the trial failed");
        }
        assert!(openings(&bench) == 5.0);
        // It works again: closed, and the next pause is a first one.
        sleep(100 * SECOND).await;
        set(&mood, None);
        assert_eq!(bench.verdict().await, "accept");
        assert!(state(&bench) == 0.0);
        assert_eq!(bench.verdict().await, "accept");
        set(&mood, Some(Cause::Trap));
        bench.judge().await;
        sleep(30 * SECOND).await;
        set(&mood, None);
        assert_eq!(bench.verdict().await, "accept");
    });
}

#[test]
fn while_one_message_tries_the_others_are_told_at_once() {
    paused(async {
        let calls = Arc::new(Mutex::new(0));
        let own = Arc::clone(&calls);
        let policy = acting(move |_, _| {
            let mut calls = own.lock().expect("not poisoned");
            *calls += 1;
            let first = *calls == 1;
            async move {
                sleep(5 * SECOND).await;
                if first { Err(Failure::new(Cause::Trap, "")) } else { Ok(Decision::verdict(Verdict::Next)) }
            }
        });
        let mut stages = vec![stage("s", &policy)];
        stages[0].breaker.failures = 1;
        stages[0].on_failure = OnFailure::Skip;
        let bench = Bench::new(stages);
        bench.judge().await;
        sleep(30 * SECOND).await;
        let late = async {
            sleep(SECOND).await;
            assert!(state(&bench) == 2.0, "half open");
            let started = Instant::now();
            let judged = bench.judge().await;
            assert!(started.elapsed() < SECOND / 10);
            judged
        };
        let (trial, late) = tokio::join!(bench.judge(), late);
        assert_eq!((cause(&trial), cause(&late)), (None, Some(Cause::CircuitOpen)));
        assert_eq!(late.verdict.name(), "accept", "on_failure decides");
        assert!(state(&bench) == 0.0);
    });
}

#[test]
fn a_trial_whose_sender_hangs_up_decides_nothing_and_the_next_message_tries() {
    paused(async {
        let (policy, mood) = moody();
        let slow_then_moody = {
            let policy = Arc::clone(&policy);
            acting(move |message, deadline| {
                let policy = Arc::clone(&policy);
                async move {
                    sleep(2 * SECOND).await;
                    wasmilter_message::policy::Policy::decide(&*policy, message, deadline).await.outcome
                }
            })
        };
        let mut stages = vec![stage("s", &slow_then_moody)];
        stages[0].breaker.failures = 1;
        let bench = Bench::new(stages);
        set(&mood, Some(Cause::Trap));
        bench.judge().await;
        sleep(30 * SECOND).await;
        set(&mood, None);
        assert!(tokio::time::timeout(SECOND, bench.judge()).await.is_err());
        assert!(state(&bench) == 1.0);
        assert_eq!(bench.verdict().await, "accept");
        assert!(state(&bench) == 0.0);
    });
}

#[test]
fn what_began_before_it_opened_does_not_close_it() {
    paused(async {
        let policy = acting(|message, _| async move {
            if message.envelope.sender.address() == "slow@x" {
                sleep(5 * SECOND).await;
                return Ok(Decision::verdict(Verdict::Next));
            }
            Err(Failure::new(Cause::Trap, ""))
        });
        let mut stages = vec![stage("s", &policy)];
        stages[0].breaker.failures = 1;
        let bench = Bench::new(stages);
        let mut slow = mail();
        slow.transaction.envelope.sender.raw = "<slow@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        let (slow, _) = tokio::join!(judge.judge(slow), async {
            sleep(SECOND).await;
            bench.judge().await
        });
        assert_eq!(slow.verdict.name(), "accept");
        assert!(state(&bench) == 1.0);
        assert_eq!(cause(&bench.judge().await), Some(Cause::CircuitOpen));
    });
}

#[test]
fn a_stage_without_a_breaker_is_always_called() {
    paused(async {
        let (policy, mood) = moody();
        let mut stages = vec![stage("s", &policy)];
        stages[0].breaker.failures = 0;
        let bench = Bench::new(stages);
        set(&mood, Some(Cause::Trap));
        for _ in 0..100 {
            assert_eq!(cause(&bench.judge().await), Some(Cause::Trap));
        }
    });
}

#[test]
fn one_stages_breaker_is_not_anothers_and_refused_edits_count() {
    paused(async {
        use wasmilter_message::decision::Edit;
        let forging = saying(Ok(Decision { edits: vec![Edit::RemovePart(0)], ..Decision::verdict(Verdict::Next) }));
        let fine = verdict(Verdict::Next);
        let mut stages = vec![stage("s", &forging), stage("t", &fine)];
        stages[0].on_failure = OnFailure::Skip;
        let bench = Bench::new(stages);
        for _ in 0..7 {
            assert_eq!(bench.verdict().await, "accept");
        }
        assert!(state(&bench) == 1.0);
        assert_eq!((forging.calls(), fine.calls()), (5, 7));
        assert!(bench.metric("wasmilter_stage_breaker_state{stage=\"t\"}") == 0.0);
    });
}

#[test]
fn hooks_and_messages_share_the_breaker() {
    paused(async {
        let needs = Needs { rcpt: true, ..Needs::default() };
        let policy = at_hooks(needs, |_, _| Err(Failure::new(Cause::Trap, "")));
        let bench = Bench::new(vec![stage("s", &policy)]);
        let judge = bench.pipeline.judge(0);
        for _ in 0..7 {
            let judged = judge.hook(Hook::Rcpt(Default::default()), Transaction::default()).await;
            assert!(matches!(judged.verdict, HookVerdict::Tempfail(_)));
        }
        assert_eq!(policy.calls(), 5);
        assert!(state(&bench) == 1.0);
    });
}

#[test]
fn the_gauge_forgets_a_pipeline_that_is_gone() {
    paused(async {
        let (policy, mood) = moody();
        let Bench { pipeline, registry, .. } = Bench::new(vec![stage("s", &policy)]);
        set(&mood, Some(Cause::Trap));
        for _ in 0..5 {
            pipeline.judge(0).judge(mail()).await;
        }
        let shown = || {
            let family = registry.gather().into_iter().find(|f| f.name() == "wasmilter_stage_breaker_state");
            family.map(|family| family.get_metric()[0].get_gauge().get_value())
        };
        assert_eq!(shown(), Some(1.0));
        pipeline.stop().await;
        drop(pipeline);
        sleep(SECOND).await;
        assert_eq!(shown(), Some(0.0));
    });
}
