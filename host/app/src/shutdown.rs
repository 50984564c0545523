//! What tells the daemon to stop.

use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// SIGTERM and SIGINT (and SIGHUP, which is ignored), or for tests and embedders a channel.
pub struct Signals {
    source: Source,
}

/// Signals so close to each other are one: `timeout` and process managers send one to the process and one to its group.
const SAME: Duration = Duration::from_millis(300);

enum Source {
    System { terminate: Signal, interrupt: Signal, hangup: Signal, last: Option<Instant> },
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
            last: None,
        };
        Ok(Self { source })
    }

    /// Signals that somebody sends through a channel instead of the system.
    #[must_use]
    pub fn from_channel(receiver: mpsc::Receiver<&'static str>) -> Self {
        Self { source: Source::Channel(receiver) }
    }

    /// The next signal's name. Pending for ever when nobody is left to send one. SIGHUP, which would end the process, does
    /// nothing but say so.
    pub(crate) async fn next(&mut self) -> &'static str {
        match &mut self.source {
            Source::System { terminate, interrupt, hangup, last } => loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    _ = hangup.recv() => {
                        tracing::warn!("SIGHUP is ignored: the configuration is read at the start only; restart to change it");
                        continue;
                    }
                };
                if last.is_some_and(|last| last.elapsed() < SAME) {
                    continue;
                }
                *last = Some(Instant::now());
                return name;
            },
            Source::Channel(receiver) => match receiver.recv().await {
                Some(name) => name,
                None => std::future::pending().await,
            },
        }
    }
}
