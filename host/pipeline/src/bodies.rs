//! Room for large bodies: how much memory the messages take that are judged at once.
//!
//! Until its verdict a body can be in memory three times: as it came (also when it lies in a file, which is mapped and read through),
//! its decoded parts, and what an edit makes of it. So the bytes of all large bodies that are judged at once are bounded; the others
//! wait where they were put when they came, in their files. Unlike the wait for a turn this one is not short: to send a large
//! message again costs everybody more than to wait.

use prometheus::IntGauge;
use std::time::Duration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use wasmilter_message::failure::{Cause, Failure};

/// Larger bodies need room, in bytes. What others take together is bounded by `in_flight`. Few messages are so large, and those have
/// taken the time that a wait is long against.
const LARGE: usize = 4 << 20;

/// What a permit stands for, in bytes: a semaphore counts to 2³².
const UNIT: usize = 1 << 10;

/// The room for large bodies, first come, first served.
pub(crate) struct Bodies {
    units: u32,
    left: Semaphore,
}

/// The room that a body takes, until this is dropped.
pub(crate) struct Admitted<'a> {
    bytes: i64,
    /// Bytes of all of them.
    gauge: IntGauge,
    _room: SemaphorePermit<'a>,
}

impl Bodies {
    /// Room for `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let units = in_units(usize::try_from(limit).unwrap_or(usize::MAX)).max(1);
        let permits = usize::try_from(units).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { units, left: Semaphore::new(permits) }
    }

    /// Whether a body of `size` bytes needs room.
    pub(crate) fn is_large(size: usize) -> bool {
        size > LARGE
    }

    /// Waits for room for a body of `size` bytes, which is counted in `gauge` from then on. One that is larger than all of the room waits
    /// until it is alone.
    ///
    /// # Errors
    /// There was no room within `patience`.
    pub(crate) async fn admit(
        &self,
        size: usize,
        patience: Duration,
        gauge: &IntGauge,
    ) -> Result<Admitted<'_>, Failure> {
        let Ok(Ok(room)) = timeout(patience, self.left.acquire_many(in_units(size).min(self.units))).await else {
            let text = format!("no room for a body of {size} bytes within {patience:?}: other large ones are judged");
            return Err(Failure::new(Cause::Overload, text));
        };
        let bytes = i64::try_from(size).unwrap_or(i64::MAX);
        gauge.add(bytes);
        Ok(Admitted { bytes, gauge: gauge.clone(), _room: room })
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}

fn in_units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
