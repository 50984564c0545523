//! Time, read from tokio's clock: the timers that hold a deadline run by it, and tests can pause it.

use std::time::Duration;
use tokio::time::Instant;
use wasmilter_message::deadline::Deadline;

/// The deadline that is `limit` from now.
pub(crate) fn after(limit: Duration) -> Deadline {
    let now = Instant::now();
    now.checked_add(limit).map_or_else(|| Deadline::after(limit), |end| Deadline::at(end.into_std()))
}

/// The earlier of `deadline` and `limit` from now.
pub(crate) fn within(deadline: Deadline, limit: Duration) -> Deadline {
    deadline.min(after(limit))
}

/// The part of what is left until `deadline` that belongs to who may take `own`, when others may take `later` after it: all of it if there
/// is enough for all, otherwise in proportion.
pub(crate) fn share(deadline: Deadline, own: Duration, later: Duration) -> Deadline {
    let (left, all) = (left(deadline), own.saturating_add(later));
    if later.is_zero() || all <= left {
        return deadline;
    }
    after(left.mul_f64(own.as_secs_f64() / all.as_secs_f64()))
}

/// The deadline for timers.
pub(crate) fn instant(deadline: Deadline) -> Instant {
    Instant::from_std(deadline.instant())
}

/// Whether it has passed.
pub(crate) fn passed(deadline: Deadline) -> bool {
    instant(deadline) <= Instant::now()
}

/// What is left until it has.
pub(crate) fn left(deadline: Deadline) -> Duration {
    instant(deadline).saturating_duration_since(Instant::now())
}
