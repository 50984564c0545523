//! Turns at the processor. A plugin that is `busy` here does not keep the thread, so that nothing but the turns makes messages
//! wait for each other.

use super::fake::*;
use crate::{Limits, turns::Turns};
use futures_util::{FutureExt, future::join_all};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wasmilter_message::{
    decision::{Decision, Verdict},
    failure::Cause,
    message::JudgedMessage,
    turn::{self, Turn},
};

const SECOND: Duration = Duration::from_secs(1);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A message every so often, `number` of them. Gives what became of each and how long it took.
async fn arriving(bench: &Bench, number: u32, every: Duration) -> Vec<(JudgedMessage, Duration)> {
    arriving_together(bench, number, 1, every).await
}

/// So many at the same moment, every so often, until there were `number` of them.
async fn arriving_together(
    bench: &Bench,
    number: u32,
    together: u32,
    every: Duration,
) -> Vec<(JudgedMessage, Duration)> {
    arriving_at(bench, (0..number).map(|number| every * (number / together))).await
}

/// One at each of these times from now.
async fn arriving_at(bench: &Bench, times: impl Iterator<Item = Duration>) -> Vec<(JudgedMessage, Duration)> {
    join_all(times.map(|at| async move {
        sleep(at).await;
        let came = Instant::now();
        (bench.judge().await, came.elapsed())
    }))
    .await
}

/// Times of those that were let in and of those that were not, sorted.
fn sorted(judged: &[(JudgedMessage, Duration)]) -> (Vec<Duration>, Vec<Duration>) {
    let times = |let_in: bool| {
        let of = judged.iter().filter(|(judged, _)| (judged.verdict == Verdict::Accept) == let_in);
        let mut times: Vec<Duration> = of.map(|(_, took)| *took).collect();
        times.sort_unstable();
        times
    };
    (times(true), times(false))
}

#[test]
fn one_computes_at_a_time_and_who_came_first_is_next() {
    paused(async {
        let policy = busy(millis(5));
        let bench = Bench::new(vec![stage("s", &policy)]);
        // Until the stage's actor is there everybody waits for it.
        bench.verdict().await;
        let judged = join_all((0..10).map(|_| async {
            let came = Instant::now();
            assert_eq!(bench.verdict().await, "accept");
            came.elapsed().as_millis()
        }))
        .await;
        assert_eq!(policy.most.load(Ordering::SeqCst), 1);
        assert!(judged.is_sorted(), "{judged:?}");
        assert!((50..60).contains(&judged[9]), "no time is lost between two: {judged:?}");
        assert!(bench.metric("wasmilter_messages_waiting") == 0.0);
    });
}

#[test]
fn who_waits_for_the_outside_holds_up_nobody_and_goes_on_at_once() {
    paused(async {
        let policy = acting(|_, _| async {
            turn::outside(sleep(SECOND)).await;
            sleep(millis(1)).await;
            Ok(Decision::verdict(Verdict::Next))
        });
        let mut stages = vec![stage("s", &policy)];
        stages[0].concurrency = 100;
        let started = Instant::now();
        let bench = Bench::new(stages);
        assert!(join_all((0..100).map(|_| bench.verdict())).await.iter().all(|verdict| *verdict == "accept"));
        assert!(started.elapsed() < SECOND + millis(20), "{:?}", started.elapsed());
    });
}

#[test]
fn a_long_one_does_not_hold_up_the_others() {
    paused(async {
        let (long, quick) = (busy(3 * SECOND), busy(millis(1)));
        let mut stages = vec![stage("long", &long), stage("quick", &quick)];
        stages[0].when = condition("envelope.sender.address == 'long@x'");
        let bench = Bench::new(stages);
        let mut hard = mail();
        hard.transaction.envelope.sender.raw = "<long@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        let long = join_all((0..3).map(|_| judge.judge(hard.clone())));
        let others = async {
            sleep(millis(100)).await;
            arriving(&bench, 500, millis(4)).await
        };
        let (_, others) = tokio::join!(long, others);
        let (let_in, refused) = sorted(&others);
        assert!(refused.is_empty(), "{} of 500", refused.len());
        assert!(let_in[499] <= millis(15), "{:?}", let_in[499]);
    });
}

/// As beside a guest in a loop, which is stopped and loops again.
#[test]
fn one_alone_does_not_wait_for_one_that_is_at_it_already_and_hardly_for_one_that_begins() {
    paused(async {
        let policy = acting(|message, _| async move {
            let long = message.envelope.sender.address() == "long@x";
            sleep(millis(if long { 100 } else { 1 })).await;
            Ok(Decision::verdict(Verdict::Next))
        });
        let bench = Bench::new(vec![stage("s", &policy)]);
        bench.verdict().await;
        let mut hard = mail();
        hard.transaction.envelope.sender.raw = "<long@x>".to_owned();
        let judge = bench.pipeline.judge(0);
        for (after, at_most) in [(0, 4), (1, 3), (2, 2), (5, 2), (50, 2)] {
            let took = async {
                sleep(millis(after)).await;
                let (_, took) = arriving(&bench, 1, Duration::ZERO).await.remove(0);
                took
            };
            let (_, took) = tokio::join!(judge.judge(hard.clone()), took);
            assert!(took <= millis(at_most), "after {after} ms: {took:?}");
        }
    });
}

/// Five times as much as the processor can do: it works all the time, those let in are as quick as ever but for the wait of one
/// turn, and the others hear of it soon.
#[test]
fn under_overload_those_let_in_are_quick_and_the_others_are_told_soon() {
    paused(async {
        let policy = busy(millis(5));
        let bench = Bench::new(vec![stage("s", &policy)]);
        let judged = arriving(&bench, 5_000, millis(1)).await;
        // It has to last for a while before it is more than a crowd; and those that nobody follows wait longest.
        let (let_in, refused) = sorted(&judged[1_200..4_900]);
        assert!((720..=750).contains(&let_in.len()), "{} of 3700 let in, 740 are possible", let_in.len());
        assert!(let_in[let_in.len() - 1] <= millis(15), "{:?}", let_in[let_in.len() - 1]);
        assert!(refused.iter().all(|took| (millis(80)..millis(95)).contains(took)), "{refused:?}");
        let all_refused = judged.iter().filter(|(judged, _)| judged.verdict != Verdict::Accept).count();
        assert!(bench.metric("wasmilter_host_failures_total{cause=\"overload\"}") == all_refused as f64);
        let (last, _) = judged.iter().rfind(|(judged, _)| judged.verdict != Verdict::Accept).expect("somebody");
        assert_eq!(last.trace.host.as_ref().map(|failure| failure.cause), Some(Cause::Overload));
        assert!(bench.metric("wasmilter_messages_waiting") == 0.0);
        let (after, _) = sorted(&arriving(&bench, 100, millis(6)).await);
        assert!(after.len() == 100 && after[99] <= millis(6), "it is over when it is over: {:?}", after.last());
    });
}

/// Who is told to come again does so, all at the same moment: what such a crowd leaves behind is not let in as soon as the crowd is
/// over, when the next one is on its way. Once the load is what can be done, however unevenly it comes, nobody is refused any more.
#[test]
fn crowds_under_overload_leave_few_late_ones_and_it_ends_when_the_load_does() {
    paused(async {
        let bench = Bench::new(vec![stage("s", &busy(millis(5)))]);
        // Of 60 at once 16 are possible until the next 60 come.
        let judged = arriving_together(&bench, 60 * 50, 60, millis(80)).await;
        let (let_in, refused) = sorted(&judged[60 * 20..]);
        let late = let_in.iter().filter(|took| **took > millis(15)).count();
        // Were they let in as soon as there is time, 13 of every crowd would be late ones.
        assert!(late < 30 * 8, "{late} late ones, {} let in, {} refused", let_in.len(), refused.len());
        // Two thirds of what can be done, in uneven steps (a generator after Lehmer).
        let mut state = 1_u64;
        let mut came = Duration::ZERO;
        let uneven = (0..3_000).map(|_| {
            state = state * 48_271 % 0x7fff_ffff;
            #[allow(clippy::cast_precision_loss, reason = "31 bits")]
            let chance = state as f64 / 2_147_483_647.0;
            came += Duration::from_secs_f64(-chance.ln() / 120.0);
            came
        });
        let judged = arriving_at(&bench, uneven).await;
        let (_, refused) = sorted(&judged[500..]);
        assert!(refused.is_empty(), "{} refused", refused.len());
    });
}

/// With messages that all take long, the first moments let in more than is good; it does not stay so.
#[test]
fn under_overload_by_long_ones_no_more_than_two_compute_at_once() {
    paused(async {
        let policy = busy(millis(300));
        let bench = Bench::new(vec![stage("s", &policy)]);
        let begun = async {
            sleep(3 * SECOND).await;
            policy.most.swap(0, Ordering::SeqCst)
        };
        let (judged, most) = tokio::join!(arriving(&bench, 800, millis(10)), begun);
        assert!(most <= 8, "{most}");
        let (_, refused) = sorted(&judged[300..]);
        assert!(!refused.is_empty() && refused.iter().all(|took| *took < millis(95)), "{refused:?}");
        let most = policy.most.load(Ordering::SeqCst);
        assert!(most <= 3, "{most}");
    });
}

#[test]
fn a_burst_that_ends_in_time_is_let_in_as_a_whole() {
    paused(async {
        let bench = Bench::new(vec![stage("s", &busy(millis(1)))]);
        for _burst in 0..5 {
            let (let_in, refused) = sorted(&arriving(&bench, 50, Duration::ZERO).await);
            assert_eq!((let_in.len(), refused.len()), (50, 0));
            sleep(millis(50)).await;
        }
        // Too many for a moment, and then no more: they wait, for longer than they may otherwise.
        let bench = Bench::new(vec![stage("s", &busy(millis(5)))]);
        let (let_in, refused) = sorted(&arriving(&bench, 150, Duration::ZERO).await);
        assert_eq!((let_in.len(), refused.len()), (150, 0));
        let longer = Limits { queue_time: 60 * SECOND, in_flight: 5_000, ..Limits::default() };
        let bench = Bench::with(vec![stage("s", &busy(millis(5)))], longer);
        let (let_in, _) = sorted(&arriving(&bench, 1_000, Duration::ZERO).await);
        assert_eq!(let_in.len(), 1_000, "who may wait long does");
    });
}

#[test]
fn who_hangs_up_leaves_nothing_behind() {
    paused(async {
        let turns = Turns::new();
        let first = turns.take_now().expect("nobody is there");
        assert!(turns.take_now().is_none());
        let mut gone = Box::pin(turns.take(SECOND));
        let mut stays = Box::pin(turns.take(SECOND));
        assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
        assert_eq!(turns.waiting(), 2);
        drop(gone);
        assert_eq!(turns.waiting(), 1);
        drop(first);
        let second = stays.as_mut().now_or_never().flatten().expect("it is next");

        // One that is let in and gone before it heard of it.
        let mut gone = Box::pin(turns.take(SECOND));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(second);
        drop(gone);
        assert!(turns.take_now().is_some());
    });
}

#[test]
fn a_pause_lets_one_in_and_ends_without_a_wait() {
    paused(async {
        let turns = Turns::new();
        let first = turns.take_now().expect("nobody is there");
        first.pause();
        let second = turns.take_now().expect("the first one waits");
        first.resume();
        assert!(turns.take_now().is_none());
        drop(second);
        assert!(turns.take_now().is_none(), "the first one is still at it");
        first.pause();
        drop(Arc::clone(&first));
        drop(first);
        assert!(turns.take_now().is_some(), "dropped while it was paused");
    });
}
