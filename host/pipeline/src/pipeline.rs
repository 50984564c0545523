//! A running pipeline: its actors, from start to stop.

use crate::{
    bodies::Bodies,
    condition::Condition,
    gate::{Gate, Limits},
    lane::{Lane, Place},
    metrics::Metrics,
    route::{Route, Routes},
    stage::Stage,
    supervise::supervise,
    turns::Turns,
};
use actix_rt::ArbiterHandle;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, mpsc, watch},
    time::timeout,
};
use wasmilter_message::{
    body::BodyStore,
    judge::{Judge, Needs},
    turn::Turn,
};

/// What a pipeline is made of.
#[derive(Default)]
pub struct Plan {
    /// All stages; the order of messages that have no route to choose.
    pub stages: Vec<Stage>,
    /// In the order in which they are looked at; none: every message takes all stages.
    pub routes: Vec<Route>,
}

impl From<Vec<Stage>> for Plan {
    fn from(stages: Vec<Stage>) -> Self {
        Self { stages, routes: Vec::new() }
    }
}

/// A running pipeline. Ends when [`Pipeline::stop`] is called, or when it and all judges that it gave are dropped.
pub struct Pipeline {
    shared: Arc<Shared>,
    /// Gives None when all actors are dead.
    done: Mutex<mpsc::Receiver<()>>,
    /// Closed when no judge is left: each has a receiver.
    judges: watch::Sender<()>,
}

/// What gates share.
pub(crate) struct Shared {
    #[cfg(test)]
    lanes: Vec<Arc<Lane>>,
    pub(crate) routes: Routes,
    pub(crate) limits: Limits,
    pub(crate) store: Arc<dyn BodyStore>,
    pub(crate) metrics: Arc<Metrics>,
    /// Of this pipeline.
    pub(crate) permits: Arc<Semaphore>,
    /// Of this pipeline and those that it replaced, which finish their messages beside it.
    pub(crate) room: Arc<Semaphore>,
    /// The same, with the same limit.
    pub(crate) bodies: Arc<Bodies>,
    /// By worker; shared as `room` is: the processors are the same.
    turns: Arc<[Arc<Turns>]>,
    pub(crate) needs: Needs,
    stop: watch::Sender<bool>,
}

/// What a pipeline has in common with those that it replaces.
struct Common {
    room: Arc<Semaphore>,
    bodies: Arc<Bodies>,
    turns: Arc<[Arc<Turns>]>,
}

/// How long the end of the actors is waited for, once no message is in flight. They have nothing left to do; one that
/// does not end by then sits on a stuck worker.
const END: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Starts the actors of all stages on all workers. With no workers given there is one, the caller's own thread, which
    /// must run an actix system (or a tokio `LocalSet`).
    #[must_use]
    pub fn start(
        plan: impl Into<Plan>,
        limits: Limits,
        store: Arc<dyn BodyStore>,
        metrics: Arc<Metrics>,
        workers: &[ArbiterHandle],
    ) -> Self {
        let common = Common {
            room: Arc::new(Semaphore::new(most(&limits))),
            bodies: Arc::new(Bodies::new(limits.bodies_in_flight)),
            turns: (0..workers.len().max(1)).map(|_| Turns::new()).collect(),
        };
        Self::start_in(common, plan.into(), limits, store, metrics, workers)
    }

    /// The same beside `before`, which this pipeline is going to replace: with the same `in_flight`, both together have no more
    /// messages in flight than one would have, and with the same `bodies_in_flight` no more bytes of bodies.
    #[must_use]
    pub fn start_beside(
        before: &Self,
        plan: impl Into<Plan>,
        limits: Limits,
        store: Arc<dyn BodyStore>,
        metrics: Arc<Metrics>,
        workers: &[ArbiterHandle],
    ) -> Self {
        let Shared { room, bodies, turns, limits: limits_before, .. } = &*before.shared;
        let common = Common {
            room: match limits_before.in_flight == limits.in_flight {
                true => Arc::clone(room),
                false => Arc::new(Semaphore::new(most(&limits))),
            },
            bodies: match limits_before.bodies_in_flight == limits.bodies_in_flight {
                true => Arc::clone(bodies),
                false => Arc::new(Bodies::new(limits.bodies_in_flight)),
            },
            turns: Arc::clone(turns),
        };
        Self::start_in(common, plan.into(), limits, store, metrics, workers)
    }

    fn start_in(
        Common { room, bodies, turns }: Common,
        Plan { stages, routes }: Plan,
        limits: Limits,
        store: Arc<dyn BodyStore>,
        metrics: Arc<Metrics>,
        workers: &[ArbiterHandle],
    ) -> Self {
        let lane = |stage: Stage| Arc::new(Lane::new(stage, &metrics, workers.len().max(1)));
        let lanes: Vec<_> = stages.into_iter().map(lane).collect();
        let routes = Routes::lay(routes, &lanes);
        let stop = watch::Sender::new(false);
        let (alive, done) = mpsc::channel(1);
        for lane in &lanes {
            if workers.is_empty() {
                actix_rt::spawn(supervise(alive.clone(), Arc::clone(lane), 0, stop.subscribe()));
            }
            for (worker, arbiter) in workers.iter().enumerate() {
                let (own, stop, alive) = (Arc::clone(lane), stop.subscribe(), alive.clone());
                let started = arbiter.spawn_fn(move || {
                    actix_rt::spawn(supervise(alive, own, worker, stop));
                });
                if !started {
                    tracing::error!(stage = &*lane.stage.name, worker, "worker is gone");
                    lane.place(worker, Place::Down);
                }
            }
        }
        let shared = Shared {
            needs: needs(&lanes, &routes),
            #[cfg(test)]
            lanes,
            routes,
            permits: Arc::new(Semaphore::new(most(&limits))),
            room,
            bodies,
            turns,
            limits,
            store,
            metrics,
            stop,
        };
        Self { shared: Arc::new(shared), done: Mutex::new(done), judges: watch::Sender::new(()) }
    }

    /// What a door sends its messages to; calls go to the actors of `worker` (counted from 0, modulo their number).
    /// Messages are counted as having come through the door `milter`.
    #[must_use]
    pub fn judge(&self, worker: usize) -> Arc<dyn Judge> {
        self.judge_at(worker, "milter")
    }

    /// The same for another door.
    #[must_use]
    pub fn judge_at(&self, worker: usize, door: &'static str) -> Arc<dyn Judge> {
        let door = Arc::new(self.shared.metrics.door(door));
        Arc::new(Gate::new(Arc::clone(&self.shared), worker, door, self.judges.subscribe()))
    }

    /// Returns when no judge that this pipeline gave is left, nor a message or hook that one of them was asked about.
    pub async fn unused(&self) {
        self.judges.closed().await;
    }

    /// Lets what is in flight finish, within the limits that it has anyway, and ends all actors. From now on messages
    /// are answered by a temporary failure: send them elsewhere before.
    pub async fn stop(&self) {
        // New messages find no permit from the moment this waits: semaphores are first come, first served.
        let all = u32::try_from(most(&self.shared.limits)).unwrap_or(u32::MAX);
        if timeout(self.shared.limits.message_deadline.saturating_add(END), self.shared.permits.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!("messages are still in flight after their deadline, stopping all the same");
        }
        self.shared.permits.close();
        self.shared.stop.send_replace(true);
        if timeout(END, self.done.lock().await.recv()).await.is_err() {
            tracing::warn!("actors are still alive, their worker does not answer");
        }
    }

    /// The lanes, to inject faults.
    #[cfg(test)]
    pub(crate) fn lanes(&self) -> &[Arc<Lane>] {
        &self.shared.lanes
    }
}

impl Shared {
    /// A worker other than `busy` on which nothing computes now, and a turn there.
    pub(crate) fn idle_worker(&self, busy: usize) -> Option<(usize, Arc<dyn Turn>)> {
        let busy = busy.checked_rem(self.turns.len())?;
        let others = self.turns.iter().enumerate().filter(|(other, _)| *other != busy);
        others.into_iter().find_map(|(other, turns)| Some((other, turns.take_now()? as Arc<dyn Turn>)))
    }

    /// The turns of `worker`, modulo their number.
    pub(crate) fn turns(&self, worker: usize) -> Arc<Turns> {
        let own = worker.checked_rem(self.turns.len()).unwrap_or(0);
        self.turns.get(own).map_or_else(Turns::new, Arc::clone)
    }
}

fn most(limits: &Limits) -> usize {
    limits.in_flight.clamp(1, Semaphore::MAX_PERMITS)
}

/// What doors have to ask for.
fn needs(lanes: &[Arc<Lane>], routes: &Routes) -> Needs {
    let mut all = routes.conditions().map(Condition::needs).fold(Needs::default(), Needs::or);
    for lane in lanes {
        all = all.or(lane.needs);
        for condition in [&lane.stage.when, &lane.stage.unless].into_iter().flatten() {
            all = all.or(condition.needs());
        }
        // Who may change the content has to be shown it: edits name its parts.
        all.body |= lane.needs.message && lane.stage.grants.content();
    }
    // Any judgement of a message may add header fields.
    all.headers |= all.body || all.message;
    all
}
