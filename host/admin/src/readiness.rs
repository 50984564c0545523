//! Whether the daemon takes mail.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Says to the admin address which phase the daemon is in. Clones speak of the same daemon.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// Phases of a daemon's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all listeners are up.
    Starting,
    /// Takes mail.
    Ready,
    /// A worker does not answer; sessions on it wait.
    Stuck,
    /// Was told to stop: takes no new mail, messages in flight may finish.
    Stopping,
}

impl Phase {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stuck => "stuck",
            Self::Stopping => "stopping",
        }
    }
}

impl Readiness {
    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        let number = match phase {
            Phase::Starting => 0,
            Phase::Ready => 1,
            Phase::Stopping => 2,
            Phase::Stuck => 3,
        };
        self.0.store(number, Ordering::Release);
    }

    /// The phase of now; [`Phase::Starting`] at first.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            3 => Phase::Stuck,
            _ => Phase::Stopping,
        }
    }
}
