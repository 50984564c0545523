//! What tells the daemon to stop, to read its configuration again, or to let a new process take over.

use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// SIGTERM, SIGINT, SIGHUP and SIGUSR2, or for tests and embedders a channel.
pub struct Signals {
    source: Source,
}

/// Signals so close to each other are one: `timeout` and process managers send one to the process and one to its group.
const SAME: Duration = Duration::from_millis(300);

enum Source {
    System { terminate: Signal, interrupt: Signal, hangup: Signal, upgrade: Signal, last: Option<Instant> },
    Channel(mpsc::Receiver<&'static str>),
}

impl Signals {
    /// Listens for the process's signals from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let source = Source::System {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
            last: None,
        };
        Ok(Self { source })
    }

    /// Signals that somebody sends through a channel instead of the system: `SIGHUP` reloads, `SIGUSR2` upgrades, any other name stops.
    #[must_use]
    pub fn from_channel(receiver: mpsc::Receiver<&'static str>) -> Self {
        Self { source: Source::Channel(receiver) }
    }

    /// The next signal. Pending for ever when nobody is left to send one.
    pub(crate) async fn next(&mut self) -> Told {
        match &mut self.source {
            Source::System { terminate, interrupt, hangup, upgrade, last } => loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    _ = hangup.recv() => return Told::Reload,
                    _ = upgrade.recv() => return Told::Upgrade,
                };
                if last.is_some_and(|last| last.elapsed() < SAME) {
                    continue;
                }
                *last = Some(Instant::now());
                return Told::Stop(name);
            },
            Source::Channel(receiver) => match receiver.recv().await {
                Some("SIGHUP") => Told::Reload,
                Some("SIGUSR2") => Told::Upgrade,
                Some(name) => Told::Stop(name),
                None => std::future::pending().await,
            },
        }
    }

    /// The next signal that means stop.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Told::Stop(name) => return name,
                Told::Reload => tracing::warn!("not reloading: the daemon is stopping"),
                Told::Upgrade => tracing::warn!("no new process is started: the daemon is stopping"),
            }
        }
    }
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Start the program anew and hand over to it (SIGUSR2).
    Upgrade,
    /// Stop (any other); the signal's name.
    Stop(&'static str),
}
