//! The worker threads: started, watched, ended.
//!
//! A worker is one thread with one event loop. When something on it does not return (a defect of ours, a file system that
//! hangs), every session on it waits, and nobody on that thread can notice. So each worker beats, and the main thread listens: a
//! worker that is silent turns readiness (and the service manager's watchdog is not told any more), one that stays silent ends the daemon, with an error, for its supervisor to start it again.
//! Mail servers keep what was under way.

use actix_rt::{Arbiter, ArbiterHandle};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, timeout},
};
use wasmilter_admin::{Phase, Readiness};

/// How often a worker beats, and how often it is listened to.
const BEAT: Duration = Duration::from_secs(1);
/// Looks without a beat until the daemon is not ready any more: a worker yields every millisecond, a busy machine may keep a thread
/// waiting for seconds.
const SILENT: u32 = 6;
/// Looks without a beat until the daemon gives up. Looks are counted, not time: while the whole process is stopped, nobody looks.
const STUCK: u32 = 20;

/// All worker threads.
pub(crate) struct Workers {
    arbiters: Vec<Arbiter>,
    pulses: Vec<Pulse>,
}

/// What a worker's beats look like from outside.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: Arc<AtomicU64>,
    heard: u64,
    /// Looks in a row without a beat.
    missed: u32,
}

impl Workers {
    /// Starts so many.
    pub(crate) fn start(count: u32) -> Self {
        let arbiters: Vec<Arbiter> = (0..count).map(|_| Arbiter::new()).collect();
        let pulses = arbiters.iter().map(|arbiter| Pulse::of(&arbiter.handle())).collect();
        Self { arbiters, pulses }
    }

    /// To start something on them.
    pub(crate) fn handles(&self) -> Vec<ArbiterHandle> {
        self.arbiters.iter().map(Arbiter::handle).collect()
    }

    /// What tells how they are, to be watched.
    pub(crate) fn pulses(&mut self) -> Vec<Pulse> {
        std::mem::take(&mut self.pulses)
    }

    /// Ends the threads. One that does not answer within `grace` is left behind: the process ends anyway.
    pub(crate) async fn stop(self, grace: Duration) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        let (joined, all_joined) = oneshot::channel();
        // Not a blocking task of the runtime: the runtime would wait for it at its own end, however long a stuck worker takes.
        thread::spawn(move || {
            for arbiter in self.arbiters {
                if arbiter.join().is_err() {
                    tracing::error!("a worker thread panicked");
                }
            }
            if joined.send(()).is_err() {
                tracing::debug!("the workers ended late");
            }
        });
        if timeout(grace, all_joined).await.is_err() {
            tracing::warn!("a worker does not end");
        }
    }
}

/// Listens to workers, and says what it hears by `readiness`. Gives the number of the first that is stuck; otherwise never ends.
pub(crate) async fn stuck(mut pulses: Vec<Pulse>, readiness: &Readiness) -> usize {
    let mut looks = interval(BEAT);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let mut silent = false;
        for (worker, pulse) in pulses.iter_mut().enumerate() {
            let before = pulse.missed;
            match pulse.look() {
                STUCK.. => return worker,
                SILENT if before < SILENT => {
                    tracing::error!(worker, "worker does not answer, its sessions wait: not ready");
                }
                0 if before >= SILENT => tracing::warn!(worker, "worker answers again"),
                _ => {}
            }
            silent |= pulse.missed >= SILENT;
        }
        readiness.enter(if silent { Phase::Stuck } else { Phase::Ready });
    }
}

impl Pulse {
    fn of(worker: &ArbiterHandle) -> Self {
        let pulse = Self::default();
        let beats = Arc::clone(&pulse.beats);
        let alive = worker.spawn(async move {
            let mut ticks = interval(BEAT);
            loop {
                ticks.tick().await;
                beats.fetch_add(1, Ordering::Relaxed);
            }
        });
        if !alive {
            tracing::error!("a worker ended as soon as it began");
        }
        pulse
    }

    /// Listens once; gives how many times in a row nothing was heard.
    fn look(&mut self) -> u32 {
        let beats = self.beats.load(Ordering::Relaxed);
        self.missed = if beats == self.heard { self.missed.saturating_add(1) } else { 0 };
        self.heard = beats;
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::{Instant, sleep, timeout};

    /// Beats for so long.
    async fn beat(beats: &AtomicU64, during: Duration) {
        let end = Instant::now() + during;
        while Instant::now() < end {
            beats.fetch_add(1, Ordering::Relaxed);
            sleep(BEAT / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_worker_turns_readiness_and_one_that_stays_silent_is_stuck() {
        let pulses = vec![Pulse::default(), Pulse::default()];
        let (sound, ill) = (Arc::clone(&pulses[0].beats), Arc::clone(&pulses[1].beats));
        let readiness = Readiness::default();
        let began = Instant::now();
        let life = async {
            beat(&ill, 60 * BEAT).await;
            assert_eq!(readiness.phase(), Phase::Ready);
            sleep(10 * BEAT).await;
            assert_eq!(readiness.phase(), Phase::Stuck, "it was silent");
            beat(&ill, 5 * BEAT).await;
            assert_eq!(readiness.phase(), Phase::Ready, "it came back");
            pending::<()>().await;
        };
        let stuck = tokio::select! {
            worker = stuck(pulses, &readiness) => worker,
            () = life => unreachable!(),
            () = beat(&sound, 1000 * BEAT) => panic!("not noticed"),
        };
        assert_eq!(stuck, 1);
        assert!(began.elapsed() < 100 * BEAT, "{:?}", began.elapsed());
    }

    #[test]
    fn workers_beat_and_end() {
        actix_rt::System::new().block_on(async {
            let mut workers = Workers::start(2);
            let mut pulses = workers.pulses();
            let heard = async {
                while pulses.iter_mut().any(|pulse| pulse.look() > 0) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(20 * BEAT, heard).await.unwrap();
            workers.stop(20 * BEAT).await;
        });
    }
}
