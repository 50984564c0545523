//! Brings dead actors back. Actix' own supervisor restarts an actor that stops but not one that panics, so that this is
//! ours: every actor has a supervisor on its arbiter, which sees the actor's end however it comes.

use crate::{
    lane::{Lane, Place},
    stage::StageActor,
};
use actix::Actor;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

/// The first restart comes at once: most deaths are one message's fault. A second death soon after waits this long, every
/// further one twice as long as the one before …
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An actor that lived this long died of something new.
const RECOVERED: Duration = Duration::from_secs(60);

/// Keeps the actor of `lane` on `worker` alive until `stop` says true or its sender is gone. `_done` is dropped last of all:
/// when the last supervisor's is gone, nothing of the pipeline is left on the workers. (Parameters are dropped from the
/// last to the first.)
pub(crate) async fn supervise(
    _done: mpsc::Sender<()>,
    lane: Arc<Lane>,
    worker: usize,
    mut stop: watch::Receiver<bool>,
) {
    let mut wait = Duration::ZERO;
    loop {
        let actor =
            StageActor::new(Arc::clone(&lane.stage.policy), lane.stage.concurrency, lane.metrics.panics.clone());
        let death = actor.death();
        let started = Instant::now();
        lane.place(worker, Place::Up(actor.start()));
        let mut death = Box::pin(death.wait());
        tokio::select! {
            () = &mut death => {}
            _ = stop.wait_for(|stop| *stop) => {
                // The actor ends when nobody can send to it any more.
                lane.place(worker, Place::Down);
                death.await;
                return;
            }
        }
        wait = if started.elapsed() >= RECOVERED { Duration::ZERO } else { wait };
        tracing::error!(stage = &*lane.stage.name, worker, wait = ?wait, "stage's actor died, will be restarted");
        lane.place(worker, if wait.is_zero() { Place::Starting } else { Place::Down });
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => {
                lane.place(worker, Place::Down);
                return;
            }
        }
        wait = (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        lane.metrics.restarts.inc();
    }
}
