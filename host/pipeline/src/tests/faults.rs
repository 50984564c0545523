//! What dies and comes back: actors that stop and panic, calls that panic, the pipeline's end.

use super::fake::*;
use crate::{Limits, OnFailure, stage::Fault};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use wasmilter_message::{
    decision::{Decision, Verdict},
    failure::Cause,
    policy::Policy,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_panicking_call_harms_no_neighbour() {
    paused(async {
        let policy = acting(|message, _| async move {
            sleep(SECOND).await;
            assert!(message.envelope.sender.address() != "panic@x", "as the test wants it");
            sleep(SECOND).await;
            Ok(Decision::verdict(Verdict::Next))
        });
        let bench = Bench::new(vec![stage("s", &policy)]);
        let mut bad = mail();
        bad.transaction.envelope.sender.raw = "<panic@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        let (before, bad, after) = tokio::join!(bench.verdict(), judge.judge(bad), bench.verdict());
        assert_eq!((before, bad.verdict.name(), after), ("accept", "tempfail", "accept"));
        assert_eq!(bad.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Died));
        assert_eq!(bench.verdict().await, "accept", "and the next one is fine");
        assert!(bench.metric("wasmilter_panics_total{part=\"call\"}") == 1.0);
        assert!(bench.metric("wasmilter_stage_restarts_total{stage=\"s\"}") == 0.0);
        assert!(bench.metric("wasmilter_stage_in_flight{stage=\"s\"}") == 0.0);
    });
}

#[test]
fn a_dead_actor_is_noticed_by_its_messages_and_restarted() {
    for fault in [Fault::Stop, Fault::Panic] {
        paused(async move {
            let policy = slow(10 * SECOND);
            let mut stages = vec![stage("s", &policy)];
            stages[0].on_failure = OnFailure::Quarantine;
            let bench = Bench::new(stages);
            let kill = async {
                sleep(SECOND).await;
                bench.pipeline.lanes()[0].inject(0, fault).await;
            };
            let started = Instant::now();
            let (first, second, ()) = tokio::join!(bench.judge(), bench.judge(), kill);
            assert!(started.elapsed() < 2 * SECOND, "nobody waits for a dead actor: {:?}", started.elapsed());
            for judged in [first, second] {
                assert_eq!(judged.verdict.name(), "quarantine", "{fault:?}");
                assert_eq!(judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Died));
            }
            assert_eq!(policy.running(), 0, "nothing of the dead actor goes on");
            assert_eq!(bench.verdict().await, "accept", "the next message finds a new actor");
            assert!(bench.metric("wasmilter_stage_restarts_total{stage=\"s\"}") == 1.0);
            assert!(bench.metric("wasmilter_stage_failures_total{cause=\"died\",stage=\"s\"}") == 2.0);
            assert!(bench.metric("wasmilter_stage_in_flight{stage=\"s\"}") == 0.0);
        });
    }
}

#[test]
fn restarts_back_off_and_recover() {
    paused(async {
        let bench = Bench::new(vec![stage("s", &verdict(Verdict::Next))]);
        assert_eq!(bench.verdict().await, "accept");
        let lane = &bench.pipeline.lanes()[0];
        let mut waits = Vec::new();
        for _ in 0..10 {
            lane.inject(0, Fault::Panic).await;
            let died = Instant::now();
            tokio::task::yield_now().await;
            while !lane.is_up(0) {
                assert!(died.elapsed() < 20 * SECOND);
                sleep(SECOND / 100).await;
            }
            waits.push((died.elapsed().as_secs_f64() * 10.0).round() / 10.0);
        }
        assert_eq!(waits, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]);
        // Down in between: told at once, not after a wait.
        lane.inject(0, Fault::Panic).await;
        sleep(SECOND).await;
        let started = Instant::now();
        let judged = bench.judge().await;
        assert!(started.elapsed() < SECOND / 10);
        assert_eq!(judged.trace.stages[0].failure.as_ref().map(|failure| failure.cause), Some(Cause::Died));
        // After a long life the next death is a first one.
        sleep(100 * SECOND).await;
        lane.inject(0, Fault::Stop).await;
        assert_eq!(bench.verdict().await, "accept");
        assert!(bench.metric("wasmilter_stage_restarts_total{stage=\"s\"}") == 12.0);
    });
}

#[test]
fn stop_lets_messages_finish_and_leaves_nothing() {
    paused(async {
        let policy = slow(5 * SECOND);
        let weak = Arc::downgrade(&policy);
        let bench = Bench::new(vec![stage("s", &policy), stage("t", &policy)]);
        drop(policy);
        let judge = bench.pipeline.judge(0);
        let stop = async {
            sleep(SECOND).await;
            let started = Instant::now();
            bench.pipeline.stop().await;
            started.elapsed()
        };
        let late = async {
            sleep(2 * SECOND).await;
            let started = Instant::now();
            (judge.judge(mail()).await.verdict, started.elapsed())
        };
        let (verdict, stopped, (late, took)) = tokio::join!(bench.verdict(), stop, late);
        assert_eq!(verdict, "accept");
        assert!(stopped >= 8 * SECOND && stopped < 11 * SECOND, "{stopped:?}");
        assert!(matches!(late, Verdict::Tempfail(_)) && took < SECOND, "{late:?} {took:?}");
        assert!(!bench.pipeline.lanes()[0].is_up(0));
        assert!(matches!(judge.judge(mail()).await.verdict, Verdict::Tempfail(_)));
        drop(judge);
        drop(bench);
        assert!(weak.upgrade().is_none(), "actors, supervisors and plugins are gone");
    });
}

#[test]
fn stop_does_not_wait_for_ever() {
    paused(async {
        // A door that keeps a judgement and never looks at it again holds its permit.
        let limits = Limits { message_deadline: 5 * SECOND, ..Limits::default() };
        let bench = Bench::with(vec![stage("s", &slow(3 * SECOND))], limits);
        let judge = bench.pipeline.judge(0);
        let mut forgotten = judge.judge(mail());
        assert!(tokio::time::timeout(SECOND, &mut forgotten).await.is_err());
        let started = Instant::now();
        bench.pipeline.stop().await;
        assert!(started.elapsed() < 20 * SECOND, "{:?}", started.elapsed());
        assert!(!bench.pipeline.lanes()[0].is_up(0));
    });
}

#[test]
fn a_dropped_pipeline_ends_its_actors() {
    paused(async {
        let policy = verdict(Verdict::Next);
        let weak: std::sync::Weak<dyn Policy> = Arc::downgrade(&(policy.clone() as Arc<dyn Policy>));
        let bench = Bench::new(vec![stage("s", &policy)]);
        let judge = bench.pipeline.judge(0);
        drop((policy, bench));
        assert_eq!(judge.judge(mail()).await.verdict, Verdict::Accept, "a judge keeps it alive");
        drop(judge);
        sleep(SECOND).await;
        assert!(weak.upgrade().is_none());
    });
}
