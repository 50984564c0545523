//! Bounds, from both sides: permits, slots, time limits, the deadline that stages share.

use super::fake::*;
use crate::{Limits, OnFailure};
use futures_util::future::join_all;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;
use wasmilter_message::{
    decision::{Decision, Verdict},
    failure::Cause,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn overload_is_answered_quickly_and_room_is_used_again() {
    paused(async {
        let policy = slow(5 * SECOND);
        let limits = Limits { in_flight: 4, ..Limits::default() };
        let bench = Bench::with(vec![stage("s", &policy)], limits.clone());
        let timed = async || {
            let started = Instant::now();
            let judged = bench.judge().await;
            (judged, started.elapsed())
        };
        let all = join_all((0..20).map(|_| timed())).await;
        let (accepted, refused): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(judged, _)| judged.verdict == Verdict::Accept);
        assert_eq!((accepted.len(), refused.len()), (4, 16));
        for (judged, took) in refused {
            let Verdict::Tempfail(reply) = &judged.verdict else { panic!("{:?}", judged.verdict) };
            assert_eq!((reply.code, reply.enhanced.as_str()), (451, "4.3.2"));
            assert_eq!(judged.trace.host.map(|failure| failure.cause), Some(Cause::Overload));
            assert!(judged.trace.stages.is_empty());
            assert!(took <= limits.queue_time + Duration::from_millis(10), "{took:?}");
        }
        assert_eq!(policy.calls(), 4);
        assert_eq!(bench.verdict().await, "accept", "permits come back");
        assert!(bench.metric("wasmilter_messages_waiting") == 0.0);
        assert!(bench.metric("wasmilter_messages_total{door=\"milter\",verdict=\"tempfail\"}") == 16.0);
    });
}

#[test]
fn a_permit_that_is_freed_in_time_is_taken() {
    paused(async {
        let limits = Limits { in_flight: 1, queue_time: SECOND, ..Limits::default() };
        let bench = Bench::with(vec![stage("s", &slow(SECOND / 2))], limits);
        assert_eq!(tokio::join!(bench.verdict(), bench.verdict()), ("accept", "accept"));
    });
}

#[test]
fn the_concurrency_limit_is_obeyed() {
    paused(async {
        let policy = slow(SECOND);
        let mut stages = vec![stage("s", &policy)];
        stages[0].concurrency = 3;
        let bench = Bench::new(stages);
        let judged = join_all((0..12).map(|_| bench.verdict())).await;
        assert!(judged.iter().all(|verdict| *verdict == "accept"));
        assert_eq!(policy.most.load(Ordering::SeqCst), 3);
        assert!(bench.metric("wasmilter_stage_in_flight{stage=\"s\"}") == 0.0);
    });
}

#[test]
fn who_gets_no_slot_in_time_is_overload() {
    paused(async {
        let policy = slow(3 * SECOND);
        let mut stages = vec![stage("s", &policy)];
        stages[0].concurrency = 1;
        stages[0].timeout = 4 * SECOND;
        stages[0].on_failure = OnFailure::Quarantine;
        let bench = Bench::new(stages);
        let started = Instant::now();
        let judged = join_all((0..4).map(|_| bench.judge())).await;
        // One at once, one after 3 s; the rest gave up after 4 s.
        let verdicts: Vec<_> = judged.iter().map(|judged| judged.verdict.name()).collect();
        assert_eq!(verdicts, ["accept", "accept", "quarantine", "quarantine"]);
        assert!(started.elapsed() < 7 * SECOND);
        let stage = &judged[3].trace.stages[0];
        assert_eq!(stage.failure.as_ref().map(|failure| failure.cause), Some(Cause::Overload));
        assert!(!stage.ran && stage.took >= 4 * SECOND);
        assert_eq!(policy.calls(), 2);
    });
}

/// Those who wait for it take half of the room at most.
#[test]
fn a_stage_that_hangs_keeps_nobody_out_who_does_not_need_it() {
    paused(async {
        let (hanging, quick) = (slow(3600 * SECOND), verdict(Verdict::Next));
        let mut stages = vec![stage("hanging", &hanging), stage("quick", &quick)];
        stages[0].concurrency = 4;
        stages[0].when = condition("envelope.sender.address == 'hard@x'");
        let bench = Bench::with(stages, Limits { in_flight: 32, ..Limits::default() });
        let mut hard = mail();
        hard.transaction.envelope.sender.raw = "<hard@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        let hard = join_all((0..100).map(|_| async {
            let started = Instant::now();
            (judge.judge(hard.clone()).await, started.elapsed())
        }));
        let quick = async {
            tokio::time::sleep(SECOND).await;
            for _message in 0..100 {
                let started = Instant::now();
                assert_eq!(bench.verdict().await, "accept");
                assert!(started.elapsed() < SECOND / 10, "{:?}", started.elapsed());
            }
        };
        let (hard, ()) = tokio::join!(hard, quick);
        let at_once = hard.iter().filter(|(_, took)| *took < SECOND / 10).count();
        assert_eq!(at_once, 100 - 16, "half of the room");
        assert!(hard.iter().all(|(judged, _)| judged.verdict.name() == "tempfail" && judged.trace.host.is_none()));
        assert!(bench.metric("wasmilter_stage_failures_total{cause=\"overload\",stage=\"hanging\"}") == 96.0);
    });
}

#[test]
fn one_stage_that_is_full_does_not_hold_up_another() {
    paused(async {
        let (slow, quick) = (slow(10 * SECOND), verdict(Verdict::Next));
        let mut stages = vec![stage("slow", &slow), stage("quick", &quick)];
        stages[0].concurrency = 1;
        stages[0].when = condition("envelope.sender.address == 'slow@x'");
        let bench = Bench::new(stages);
        let mut hard = mail();
        hard.transaction.envelope.sender.raw = "<slow@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        let hard = join_all([judge.judge(hard.clone()), judge.judge(hard)]);
        let quick = async {
            let started = Instant::now();
            bench.judge().await;
            started.elapsed()
        };
        let (_, took) = tokio::join!(hard, quick);
        assert!(took < SECOND, "{took:?}");
    });
}

#[test]
fn the_time_limit_ends_a_call_and_the_call_is_dropped() {
    paused(async {
        let policy = slow(3600 * SECOND);
        let mut stages = vec![stage("s", &policy)];
        stages[0].timeout = 2 * SECOND;
        stages[0].concurrency = 1;
        let bench = Bench::new(stages);
        let started = Instant::now();
        let judged = bench.judge().await;
        assert!(started.elapsed() >= 2 * SECOND && started.elapsed() < 3 * SECOND);
        assert_eq!(judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Timeout));
        assert_eq!(policy.running(), 0);
        assert!(bench.metric("wasmilter_stage_in_flight{stage=\"s\"}") == 0.0, "the slot is free again");
    });
}

#[test]
fn just_in_time_is_in_time() {
    paused(async {
        let mut stages = vec![stage("s", &slow(2 * SECOND - Duration::from_millis(20)))];
        stages[0].timeout = 2 * SECOND;
        assert_eq!(Bench::new(stages).verdict().await, "accept");
    });
}

/// When the limits of all are more than what is left of the message's deadline, each gets its part of that.
#[test]
fn stages_share_the_deadline() {
    paused(async {
        let left: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let measuring = |takes: Duration| {
            let left = Arc::clone(&left);
            acting(move |_, deadline| {
                let until = Instant::from_std(deadline.instant()) - Instant::now();
                left.lock().expect("not poisoned").push(until);
                async move {
                    tokio::time::sleep(takes).await;
                    Ok(Decision::verdict(Verdict::Next))
                }
            })
        };
        let stages = vec![
            stage("a", &measuring(5 * SECOND)),
            stage("b", &measuring(10 * SECOND)),
            stage("c", &measuring(SECOND)),
        ];
        let bench = Bench::with(stages, Limits { message_deadline: 30 * SECOND, ..Limits::default() });
        assert_eq!(bench.verdict().await, "accept");
        let left: Vec<_> = left.lock().expect("not poisoned").iter().map(|left| left.as_secs_f64().round()).collect();
        // 30 s for three, 25 s for two, 15 s for the last.
        assert_eq!(left, [10.0, 13.0, 15.0]);
    });
}

#[test]
fn a_stage_that_hangs_leaves_later_ones_their_time() {
    paused(async {
        let (hanging, last) = (slow(3600 * SECOND), slow(3 * SECOND));
        let mut stages = vec![stage("hanging", &hanging), stage("last", &last)];
        stages[0].on_failure = OnFailure::Skip;
        stages[1].timeout = 5 * SECOND;
        // 20 s and 5 s are more than 15 s: 12 s and 3 s, and what the first does not take.
        let bench = Bench::with(stages, Limits { message_deadline: 15 * SECOND + SECOND / 10, ..Limits::default() });
        let started = Instant::now();
        let judged = bench.judge().await;
        assert_eq!(judged.verdict, Verdict::Accept, "{:?}", judged.trace);
        assert!((12 * SECOND..13 * SECOND).contains(&judged.trace.stages[0].took), "{:?}", judged.trace.stages[0].took);
        assert_eq!(judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Timeout));
        assert!(started.elapsed() <= 15 * SECOND + SECOND / 10);
    });
}

#[test]
fn limits_that_fit_into_the_deadline_are_whole() {
    paused(async {
        let mut stages = vec![stage("slow", &slow(9 * SECOND)), stage("last", &slow(9 * SECOND))];
        (stages[0].timeout, stages[1].timeout) = (10 * SECOND, 10 * SECOND);
        let bench = Bench::with(stages, Limits { message_deadline: 20 * SECOND, ..Limits::default() });
        assert_eq!(bench.verdict().await, "accept");
    });
}

#[test]
fn what_begins_after_the_deadline_is_the_hosts_temporary_failure() {
    paused(async {
        let policy = verdict(Verdict::Next);
        let mut stages = vec![stage("s", &policy)];
        stages[0].on_failure = OnFailure::Accept;
        let bench = Bench::with(stages, Limits { message_deadline: Duration::ZERO, ..Limits::default() });
        let judged = bench.judge().await;
        assert_eq!(judged.verdict.name(), "tempfail");
        assert_eq!(judged.trace.host.as_ref().map(|failure| failure.cause), Some(Cause::Deadline));
        assert_eq!(judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Deadline));
        assert!(!judged.trace.stages[0].ran && policy.calls() == 0);
        assert!(bench.metric("wasmilter_host_failures_total{cause=\"deadline\"}") == 1.0);
    });
}

/// The MTA hung up: the plugin has nobody to work for.
#[test]
fn a_door_that_stops_waiting_ends_the_call() {
    paused(async {
        let policy = slow(15 * SECOND);
        let bench = Bench::new(vec![stage("s", &policy)]);
        let gone = tokio::time::timeout(SECOND, bench.judge()).await;
        assert!(gone.is_err());
        tokio::time::sleep(SECOND).await;
        assert_eq!((policy.calls(), policy.running()), (1, 0));
        assert!(bench.metric("wasmilter_stage_in_flight{stage=\"s\"}") == 0.0);
        assert!(bench.metric("wasmilter_messages_in_flight") == 0.0);
    });
}

#[test]
fn a_thousand_at_once() {
    paused(async {
        let policy = slow(SECOND / 100);
        let limits = Limits { in_flight: 2000, ..Limits::default() };
        let mut stages = vec![stage("a", &policy), stage("b", &saying(Ok(score(1.0))))];
        stages[0].concurrency = 64;
        let bench = Bench::with(stages, limits);
        let verdicts = join_all((0..1000).map(|_| bench.verdict())).await;
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == "accept").count(), 1000);
        assert_eq!(policy.most.load(Ordering::SeqCst), 64);
        for gauge in [
            "wasmilter_messages_in_flight",
            "wasmilter_messages_waiting",
            "wasmilter_stage_in_flight{stage=\"a\"}",
            "wasmilter_stage_waiting{stage=\"a\"}",
        ] {
            assert!(bench.metric(gauge) == 0.0, "{gauge}");
        }
        assert!(bench.metric("wasmilter_stage_decisions_total{stage=\"b\",verdict=\"next\"}") == 1000.0);
    });
}
