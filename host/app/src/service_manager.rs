//! What the service manager is told (sd_notify(3)): systemd with `Type=notify`, or anything else that sets `NOTIFY_SOCKET`. Without it,
//! nothing happens.

use actix_rt::ArbiterHandle;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, timeout},
};

/// Takes mail, or takes it again after a reload.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reads its configuration again; [`ready`] follows, whatever comes of it.
pub(crate) fn reloading() {
    // With the time, systemd knows which of several reloads this is.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]),
        Err(error) => tracing::debug!(%error, "the clock can not be read"),
    }
}

/// Goes on, and something is to be known.
pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Another process is the daemon from now on.
pub(crate) fn replaced_by(pid: u32) {
    tell(&[
        NotifyState::MainPid(pid),
        NotifyState::Status("another process takes mail, sessions here go on to their end"),
    ]);
}

/// Takes no more mail.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping, messages in flight may finish")]);
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager can not be told");
    }
}

/// For as long as it is polled: where the service manager wants to hear that the daemon lives (`WatchdogSec=`), tells it so while every
/// worker answers. A worker that is stuck in a computation answers no more; then the service manager restarts the daemon.
pub(crate) async fn watchdog(workers: &[ArbiterHandle]) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    // Twice in the time, as sd_watchdog_enabled(3) recommends.
    let every = limit.checked_div(2).unwrap_or(limit);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if all_answer(workers, every).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(within = ?every, "a worker does not answer, the service manager is not told that all is well");
        }
    }
}

/// Whether every worker has a turn for a task within `limit`.
async fn all_answer(workers: &[ArbiterHandle], limit: Duration) -> bool {
    let asked: Vec<_> = workers
        .iter()
        .map(|worker| {
            let (answer, answered) = oneshot::channel();
            // One that has ended drops the question.
            worker.spawn_fn(move || {
                let _too_late = answer.send(()).is_err();
            });
            answered
        })
        .collect();
    let all = async {
        for answered in asked {
            if answered.await.is_err() {
                return false;
            }
        }
        true
    };
    timeout(limit, all).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_rt::{Arbiter, System};
    use std::sync::mpsc;

    #[test]
    fn a_stuck_worker_is_noticed_and_so_is_one_that_has_ended() {
        System::new().block_on(async {
            let (well, stuck) = (Arbiter::new(), Arbiter::new());
            let both = [well.handle(), stuck.handle()];
            assert!(all_answer(&both, Duration::from_secs(20)).await);
            let (release, released) = mpsc::channel::<()>();
            stuck.spawn_fn(move || {
                let _released = released.recv().is_err();
            });
            assert!(!all_answer(&both, Duration::from_millis(50)).await);
            assert!(all_answer(&both[..1], Duration::from_secs(20)).await, "the other is well");
            drop(release);
            assert!(all_answer(&both, Duration::from_secs(20)).await, "it is well again");
            stuck.stop();
            stuck.join().unwrap();
            assert!(!all_answer(&both, Duration::from_secs(20)).await);
            well.stop();
        });
    }
}
