//! On real arbiters, in real time.

use super::fake::*;
use crate::{Limits, Metrics, Pipeline, stage::Fault};
use actix_rt::{Arbiter, System};
use futures_util::future::join_all;
use prometheus::Registry;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use wasmilter_message::{
    apply::EditGrants,
    body::{BodyStore, BodyWriter, InMemory},
    decision::{Decision, Edit, NewPart, Verdict},
};

fn pipeline(stages: Vec<crate::Stage>, arbiters: &[Arbiter]) -> Pipeline {
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    let metrics = Metrics::register(&Registry::new()).expect("a new registry");
    let limits = Limits { in_flight: 2000, queue_time: Duration::from_secs(60), ..Limits::default() };
    Pipeline::start(stages, limits, Arc::new(InMemory), metrics, &handles)
}

#[test]
fn a_thousand_messages_over_two_workers() {
    System::new().block_on(async {
        let threads: Arc<Mutex<HashSet<std::thread::ThreadId>>> = Arc::default();
        let policy = {
            let threads = Arc::clone(&threads);
            acting(move |_, _| {
                threads.lock().expect("not poisoned").insert(std::thread::current().id());
                async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok(Decision::verdict(Verdict::Next))
                }
            })
        };
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let mut stages = vec![stage("a", &policy), stage("b", &policy)];
        stages[0].concurrency = 100;
        let pipeline = pipeline(stages, &arbiters);
        let judged = join_all((0..1000).map(|n| pipeline.judge(n % 2).judge(mail()))).await;
        assert!(judged.iter().all(|judged| judged.verdict == Verdict::Accept));
        assert_eq!(policy.calls(), 2000);
        let threads = threads.lock().expect("not poisoned").clone();
        assert_eq!(threads.len(), 2, "each worker has its own actors");
        assert!(!threads.contains(&std::thread::current().id()), "and none runs on the door's thread");
        pipeline.stop().await;
        let weak = Arc::downgrade(&policy);
        drop((policy, pipeline));
        assert!(weak.upgrade().is_none(), "nothing of the pipeline is left on the workers");
    });
}

#[test]
fn while_an_actor_is_down_its_neighbour_on_the_other_worker_helps_out() {
    System::new().block_on(async {
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let pipeline = pipeline(vec![stage("s", &verdict(Verdict::Next))], &arbiters);
        assert_eq!(pipeline.judge(0).judge(mail()).await.verdict, Verdict::Accept);
        let lane = &pipeline.lanes()[0];
        // The third death in a row is followed by a wait of 200 ms.
        for _ in 0..3 {
            lane.inject(0, Fault::Panic).await;
            for _ in 0..100 {
                if lane.is_up(0) {
                    break;
                }
                assert_eq!(pipeline.judge(0).judge(mail()).await.verdict, Verdict::Accept);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(lane.is_up(0));
        }
        pipeline.stop().await;
    });
}

#[test]
fn a_worker_that_is_gone_is_replaced_by_another() {
    System::new().block_on(async {
        let mut arbiters = vec![Arbiter::new(), Arbiter::new()];
        let gone = arbiters.remove(0);
        let handle = gone.handle();
        gone.stop();
        gone.join().expect("no panic");
        let handles = [handle, arbiters[0].handle()];
        let metrics = Metrics::register(&Registry::new()).expect("a new registry");
        let stages = vec![stage("s", &verdict(Verdict::Next))];
        let pipeline = Pipeline::start(stages, Limits::default(), Arc::new(InMemory), metrics, &handles);
        assert_eq!(pipeline.judge(0).judge(mail()).await.verdict, Verdict::Accept);
        pipeline.stop().await;
    });
}

/// Says on which thread bodies are written.
#[derive(Default)]
struct Watched(Mutex<Vec<std::thread::ThreadId>>);

impl BodyStore for Watched {
    fn start(&self) -> Box<dyn BodyWriter> {
        self.0.lock().expect("not poisoned").push(std::thread::current().id());
        InMemory.start()
    }
}

#[test]
fn what_is_big_is_written_off_the_arbiter_also_into_a_small_message() {
    System::new().block_on(async {
        for (size, on_arbiter) in [(10_000, true), (10_000_000, false)] {
            let part = NewPart {
                media_type: "application/octet-stream".to_owned(),
                file_name: "file".to_owned(),
                disposition: String::new(),
                content_id: String::new(),
                content: vec![0; size].into(),
            };
            let decision = Decision { edits: vec![Edit::AddPart(part)], ..Decision::verdict(Verdict::Next) };
            let mut adding = stage("s", &saying(Ok(decision)));
            adding.grants = EditGrants { attachments: true, ..EditGrants::default() };
            let store = Arc::new(Watched::default());
            let metrics = Metrics::register(&Registry::new()).expect("a new registry");
            let pipeline = Pipeline::start(vec![adding], Limits::default(), Arc::clone(&store) as _, metrics, &[]);
            let judged = pipeline.judge(0).judge(mail()).await;
            assert_eq!(judged.verdict, Verdict::Accept);
            assert!(judged.message.body.len() > size);
            let threads = store.0.lock().expect("not poisoned").clone();
            assert!(!threads.is_empty());
            let here = std::thread::current().id();
            assert!(threads.iter().all(|thread| (*thread == here) == on_arbiter), "{size} bytes");
            pipeline.stop().await;
        }
    });
}
