//! A pipeline takes over from another.

use super::fake::*;
use crate::{Limits, Metrics, Pipeline, Stage};
use futures_util::future::join_all;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use wasmilter_message::{body::InMemory, decision::Verdict, failure::Cause, judge::Judge};

const SECOND: Duration = Duration::from_secs(1);

fn beside(before: &Pipeline, stages: Vec<Stage>, limits: Limits, metrics: &Arc<Metrics>) -> Pipeline {
    Pipeline::start_beside(before, stages, limits, Arc::new(InMemory), Arc::clone(metrics), &[])
}

fn first(stages: Vec<Stage>, limits: Limits) -> (Pipeline, Arc<Metrics>) {
    let metrics = Metrics::register(&Registry::new()).expect("a new registry");
    (Pipeline::start(stages, limits, Arc::new(InMemory), Arc::clone(&metrics), &[]), metrics)
}

#[test]
fn both_together_have_no_more_in_flight_than_one() {
    paused(async {
        let limits = Limits { in_flight: 4, ..Limits::default() };
        let policy = slow(10 * SECOND);
        let (old, metrics) = first(vec![stage("s", &policy)], limits.clone());
        let new = beside(&old, vec![stage("s", &policy)], limits, &metrics);
        let judges: [Arc<dyn Judge>; 2] = [old.judge(0), new.judge(0)];
        let judged = join_all((0..8).map(|n| judges[n % 2].judge(mail()))).await;
        let refused = judged.iter().filter(|judged| judged.trace.host.is_some()).count();
        assert_eq!(refused, 4);
        let host = judged.iter().find_map(|judged| judged.trace.host.clone());
        assert_eq!(host.map(|failure| failure.cause), Some(Cause::Overload));
        // Another limit is room of its own.
        let other = beside(&new, vec![stage("s", &policy)], Limits { in_flight: 2, ..Limits::default() }, &metrics);
        let judge = other.judge(0);
        let judged = join_all((0..3).map(|_| judge.judge(mail()))).await;
        assert_eq!(judged.iter().filter(|judged| judged.trace.host.is_some()).count(), 1);
    });
}

#[test]
fn a_pipeline_knows_when_nobody_needs_it_any_more() {
    paused(async {
        let policy = slow(10 * SECOND);
        let (old, _) = first(vec![stage("s", &policy)], Limits::default());
        let (judge, other) = (old.judge(0), old.judge(1));
        let running = judge.judge(mail());
        drop((judge, other));
        assert!(timeout(SECOND, old.unused()).await.is_err(), "a message is still to be judged");
        let started = Instant::now();
        let (judged, ()) = tokio::join!(running, old.unused());
        assert_eq!(judged.verdict, Verdict::Accept);
        assert!(started.elapsed() >= 9 * SECOND, "{:?}", started.elapsed());
        old.stop().await;
        let weak = Arc::downgrade(&policy);
        drop((policy, old));
        sleep(SECOND).await;
        assert!(weak.upgrade().is_none(), "nothing of it is left");
    });
}
