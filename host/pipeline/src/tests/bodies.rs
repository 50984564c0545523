//! Large bodies wait for room.

use super::fake::{Bench, acting, mail, paused, slow, stage};
use crate::Limits;
use bytes::Bytes;
use futures_util::future::join_all;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use wasmilter_message::{
    decision::{Decision, Verdict},
    failure::Cause,
    message::{JudgedMessage, ReceivedMessage},
};

const SECOND: Duration = Duration::from_secs(1);
const MB: usize = 1_000_000;
const IN_FLIGHT: &str = "wasmilter_bodies_in_flight_bytes";

fn with_body(bytes: usize) -> ReceivedMessage {
    ReceivedMessage { body: Bytes::from(vec![b'x'; bytes]), ..mail() }
}

fn room(bodies_in_flight: u64) -> Limits {
    Limits { bodies_in_flight, message_deadline: 20 * SECOND, ..Limits::default() }
}

fn accepted(judged: &JudgedMessage) -> bool {
    judged.verdict == Verdict::Accept
}

#[test]
fn large_ones_wait_for_each_other_and_others_for_none() {
    paused(async {
        let bench = Bench::with(vec![stage("s", &slow(SECOND))], room(13_000_000));
        let judge = bench.pipeline.judge(0);
        let began = Instant::now();
        let large = (0..6).map(|_| judge.judge(with_body(6 * MB)));
        let others = (0..6).map(|_| async {
            assert!(accepted(&judge.judge(with_body(4 << 20)).await));
            assert!(began.elapsed() < SECOND * 3 / 2, "{:?}", began.elapsed());
        });
        let look = async {
            sleep(SECOND / 2).await;
            assert!(bench.metric(IN_FLIGHT) == 12e6, "two of them");
            assert!(bench.metric("wasmilter_messages_waiting") == 4.0);
        };
        let (judged, ..) = tokio::join!(join_all(large), join_all(others), look);
        assert!(judged.iter().all(accepted));
        assert!(began.elapsed() >= 3 * SECOND, "two at once: {:?}", began.elapsed());
        assert!(bench.metric(IN_FLIGHT) == 0.0);
        assert!(bench.metric("wasmilter_body_wait_seconds_count") == 6.0);
    });
}

#[test]
fn it_waits_for_half_of_its_time() {
    paused(async {
        let bench = Bench::with(vec![stage("s", &slow(15 * SECOND))], room(6_000_000));
        let judge = bench.pipeline.judge(0);
        let began = Instant::now();
        let (first, (second, waited)) = tokio::join!(judge.judge(with_body(6 * MB)), async {
            let judged = judge.judge(with_body(6 * MB)).await;
            (judged, began.elapsed())
        });
        assert!(accepted(&first));
        assert_eq!(second.verdict.name(), "tempfail");
        assert_eq!(second.trace.host.map(|failure| failure.cause), Some(Cause::Overload));
        assert!(waited.abs_diff(10 * SECOND) < SECOND / 100, "{waited:?}");
    });
}

#[test]
fn the_wait_is_taken_from_the_time_of_the_message() {
    paused(async {
        let left = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&left);
        let policy = acting(move |_, deadline| {
            seen.lock().expect("no panic").push(crate::clock::left(deadline).as_secs_f64().round());
            async {
                sleep(3 * SECOND).await;
                Ok(Decision::verdict(Verdict::Next))
            }
        });
        let bench = Bench::with(vec![stage("s", &policy)], room(6_000_000));
        let judge = bench.pipeline.judge(0);
        let (_, _) = tokio::join!(judge.judge(with_body(6 * MB)), judge.judge(with_body(6 * MB)));
        assert_eq!(*left.lock().expect("no panic"), [20.0, 17.0]);
    });
}

#[test]
fn one_that_is_larger_than_all_of_the_room_is_judged_alone() {
    paused(async {
        let policy = slow(SECOND);
        let bench = Bench::with(vec![stage("s", &policy)], room(1_000));
        let judge = bench.pipeline.judge(0);
        let judged = join_all((0..3).map(|_| judge.judge(with_body(6 * MB)))).await;
        assert!(judged.iter().all(accepted));
        assert_eq!(policy.most.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_message_that_nobody_waits_for_any_more_gives_its_room_back() {
    paused(async {
        let bench = Bench::with(vec![stage("s", &slow(5 * SECOND))], room(6_000_000));
        let judge = bench.pipeline.judge(0);
        let (first, gone) = tokio::join!(
            timeout(SECOND, judge.judge(with_body(6 * MB))),
            timeout(SECOND / 2, judge.judge(with_body(6 * MB)))
        );
        assert!(first.is_err() && gone.is_err());
        assert!(bench.metric(IN_FLIGHT) == 0.0 && bench.metric("wasmilter_messages_waiting") == 0.0);
        assert!(accepted(&judge.judge(with_body(6 * MB)).await));
    });
}
