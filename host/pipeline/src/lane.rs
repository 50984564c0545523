//! What all workers share of a stage, and the way of a call to one of its actors.

use crate::{
    breaker::{Admitted, Breaker},
    clock,
    metrics::{Counted, Metrics, StageMetrics},
    stage::{Stage, StageActor},
};
use actix::{Addr, Handler, Message, dev::ToEnvelope};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};
use wasmilter_message::{
    deadline::Deadline,
    failure::{Cause, Failure},
    judge::Needs,
    limit::Limit,
    policy::Called,
    trace::StageTrace,
    turn,
};

/// A stage in a running pipeline.
pub(crate) struct Lane {
    pub(crate) stage: Stage,
    pub(crate) needs: Needs,
    pub(crate) metrics: StageMetrics,
    pub(crate) breaker: Breaker,
    slots: Arc<Semaphore>,
    /// How long a call usually computes, in microseconds: an average in which the last calls count most.
    usual: AtomicU64,
    /// One per worker.
    actors: Vec<watch::Sender<Place>>,
}

/// Where a worker's actor is.
pub(crate) enum Place {
    /// Coming at once.
    Starting,
    /// Here.
    Up(Addr<StageActor>),
    /// Dead, waiting for its next start; or its worker is gone; or the pipeline has stopped.
    Down,
}

/// A slot of a stage's concurrency limit.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// A call that usually computes longer, in microseconds, is worth being taken to another thread, which costs some ten.
const LONG: u64 = 500;
/// The part that one call has in the average.
const WEIGHT: u64 = 8;

/// An actor that keeps its deadlines answers earlier than this after them. If it does not, its worker is stuck.
const GRACE: Duration = Duration::from_secs(1);

impl Lane {
    pub(crate) fn new(stage: Stage, metrics: &Metrics, workers: usize) -> Self {
        Self {
            metrics: metrics.stage(&stage.name),
            breaker: Breaker::new(Arc::clone(&stage.name), stage.breaker, metrics.breaker(&stage.name)),
            needs: stage.policy.needs(),
            usual: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(stage.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            actors: (0..workers).map(|_| watch::Sender::new(Place::Starting)).collect(),
            stage,
        }
    }

    /// Sends a call to an actor, that of `worker` if it can be, and waits for the reply. Every wait ends by `deadline`
    /// or the stage's time limit; when it is `crowded`, there is none for a slot. `trace` is told what it cost.
    pub(crate) async fn call<M, T>(
        &self,
        worker: usize,
        deadline: Deadline,
        crowded: bool,
        admitted: &mut Admitted<'_>,
        trace: &mut StageTrace,
        message: impl FnOnce(Deadline, Slot) -> M,
    ) -> Result<T, Failure>
    where
        M: Message<Result = Called<T>> + Send + 'static,
        T: Send + 'static,
        StageActor: Handler<M>,
        actix::Context<StageActor>: ToEnvelope<StageActor, M>,
    {
        if clock::passed(deadline) {
            return Err(Failure::new(Cause::Deadline, "the message's deadline passed before the stage began"));
        }
        let began = Instant::now();
        let slot = self.slot(deadline, crowded).await;
        trace.waited = began.elapsed();
        self.metrics.wait.observe(trace.waited.as_secs_f64());
        let slot = slot?;
        let deadline = clock::within(deadline, self.stage.timeout);
        admitted.begins(clock::left(deadline), self.stage.timeout);
        let worker = turn::outside(self.live(worker, deadline)).await?;
        let request = match &*worker.borrow() {
            Place::Up(actor) => actor.send(message(deadline, slot)),
            Place::Starting | Place::Down => return Err(died()),
        };
        match timeout_at(clock::instant(deadline) + GRACE, request).await {
            Ok(Ok(Called { outcome, used })) => {
                self.computed(used.cpu);
                trace.used = used;
                outcome
            }
            Ok(Err(_)) => Err(died()),
            Err(_) => Err(Failure::new(Cause::Timeout, "the stage's worker did not answer")),
        }
    }

    fn computed(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        let others = usual.saturating_sub(usual / WEIGHT);
        self.usual.store(others.saturating_add(time / WEIGHT), Ordering::Relaxed);
    }

    /// Whether a call usually computes long enough to be worth a worker of its own.
    pub(crate) fn computes_long(&self) -> bool {
        self.usual.load(Ordering::Relaxed) > LONG
    }

    async fn slot(&self, deadline: Deadline, crowded: bool) -> Result<Slot, Failure> {
        let concurrency = self.stage.concurrency;
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(self.occupied(permit));
        }
        if crowded {
            let text =
                format!("all {concurrency} slots of the stage are in use, and too many messages are in flight to wait");
            return Err(Failure::limit(Limit::Concurrency, text));
        }
        let _waiting = Counted::new(&self.metrics.waiting);
        let until = clock::within(deadline, self.stage.timeout);
        let free = timeout_at(clock::instant(until), Arc::clone(&self.slots).acquire_owned());
        match turn::outside(free).await {
            Ok(Ok(permit)) => Ok(self.occupied(permit)),
            // Nobody closes the semaphore; if somebody did, there would be no slots.
            Ok(Err(_)) | Err(_) => {
                let text = format!("all {concurrency} slots of the stage stayed in use");
                Err(Failure::limit(Limit::Concurrency, text))
            }
        }
    }

    fn occupied(&self, permit: OwnedSemaphorePermit) -> Slot {
        Slot { _permit: permit, _counted: Counted::new(&self.metrics.in_flight) }
    }

    /// The place of an actor that can be sent to: that of `worker`, or else of the next worker that has one. Waits for
    /// one that is starting.
    async fn live(&self, worker: usize, deadline: Deadline) -> Result<&watch::Sender<Place>, Failure> {
        let own = worker.checked_rem(self.actors.len()).unwrap_or(0);
        let (before, from_own) = self.actors.split_at(own);
        for actor in from_own.iter().chain(before) {
            let mut place = actor.subscribe();
            let started = place.wait_for(|place| !matches!(place, Place::Starting));
            match timeout_at(clock::instant(deadline), started).await {
                Ok(Ok(place)) if place.is_up() => return Ok(actor),
                Ok(_) => {}
                Err(_) => return Err(Failure::new(Cause::Timeout, "the stage's actor was not started in time")),
            }
        }
        Err(died())
    }

    /// Says where the actor of `worker` is.
    pub(crate) fn place(&self, worker: usize, place: Place) {
        if let Some(actor) = self.actors.get(worker) {
            actor.send_replace(place);
        }
    }

    /// Sends a fault to the actor of `worker`.
    #[cfg(test)]
    pub(crate) async fn inject(&self, worker: usize, fault: crate::stage::Fault) {
        let request = match &*self.actors[worker].borrow() {
            Place::Up(actor) => actor.send(fault),
            Place::Starting | Place::Down => panic!("no actor to be had"),
        };
        // A panicking actor does not answer.
        let answered = request.await.is_ok();
        tracing::debug!(?fault, answered, "fault injected");
    }

    #[cfg(test)]
    pub(crate) fn is_up(&self, worker: usize) -> bool {
        self.actors[worker].borrow().is_up()
    }
}

impl Place {
    /// Whether it can be sent to. A dead actor is noticed here before its supervisor has noticed it.
    fn is_up(&self) -> bool {
        matches!(self, Self::Up(actor) if actor.connected())
    }
}

fn died() -> Failure {
    Failure::new(Cause::Died, "the stage's actor is dead")
}
