//! Points in time by which something has to be done.

use std::time::{Duration, Instant};

/// An absolute deadline. One is set per message at the gate; every stage gets the earlier of it and its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that is `limit` from now; a limit past the end of time is cut to a day.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(limit).or_else(|| now.checked_add(Duration::from_secs(86_400))).unwrap_or(now))
    }

    /// The deadline at `instant`, for who has a clock of their own.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The earlier of this deadline and `limit` from now.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// The instant itself, for timers.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }
}
