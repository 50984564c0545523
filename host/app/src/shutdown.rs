//! What tells the daemon to stop.

use std::io;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// SIGTERM and SIGINT, or for tests and embedders a channel.
pub struct Signals {
    source: Source,
}

enum Source {
    System { terminate: Signal, interrupt: Signal },
    Channel(mpsc::Receiver<&'static str>),
}

impl Signals {
    /// Listens for the process's signals from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let source =
            Source::System { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { source })
    }

    /// Signals that somebody sends through a channel instead of the system.
    #[must_use]
    pub fn from_channel(receiver: mpsc::Receiver<&'static str>) -> Self {
        Self { source: Source::Channel(receiver) }
    }

    /// The next signal's name. Pending for ever when nobody is left to send one.
    pub(crate) async fn next(&mut self) -> &'static str {
        match &mut self.source {
            Source::System { terminate, interrupt } => tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            },
            Source::Channel(receiver) => match receiver.recv().await {
                Some(name) => name,
                None => std::future::pending().await,
            },
        }
    }
}
