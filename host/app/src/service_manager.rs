//! What the service manager is told (sd_notify(3)): systemd with `Type=notify`, or anything else that sets `NOTIFY_SOCKET`. Without it,
//! nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use wasmilter_admin::{Phase, Readiness};

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
/// worker does, as `readiness` says ([`crate::workers::stuck`]). When it is not told any more it restarts the daemon.
pub(crate) async fn watchdog(readiness: &Readiness) {
    match sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
        Some(limit) => while_sound(limit, readiness, || tell(&[NotifyState::Watchdog])).await,
        None => std::future::pending().await,
    }
}

/// Twice in the time, as sd_watchdog_enabled(3) recommends. Never ends.
async fn while_sound(limit: Duration, readiness: &Readiness, tell: impl Fn()) {
    let mut ticks = interval(limit.checked_div(2).unwrap_or(limit));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if readiness.phase() != Phase::Stuck {
            tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_twice_in_the_time_but_not_while_a_worker_is_stuck() {
        let (readiness, told) = (Readiness::default(), Cell::new(0));
        let limit = Duration::from_secs(10);
        for (phase, expected) in [(Phase::Ready, 2), (Phase::Stuck, 2), (Phase::Ready, 4), (Phase::Stopping, 6)] {
            readiness.enter(phase);
            let watched = while_sound(limit, &readiness, || told.set(told.get() + 1));
            assert!(timeout(limit - Duration::from_millis(1), watched).await.is_err(), "it goes on");
            assert_eq!(told.get(), expected, "{phase:?}");
        }
    }
}
