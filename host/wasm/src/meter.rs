//! Processor time of one call: what the thread used while it worked on the call, the guest and the host's functions that it
//! called alike. Work that the host does on other threads (parsing and decoding of what is large) and waiting are not in it.
//!
//! The clock is the thread's own (`CLOCK_THREAD_CPUTIME_ID`), read when the call gets the thread and when it gives it back, so
//! that what the machine does besides does not count, nor what the scheduler gave to others. The limit is looked at at
//! every tick of the sandbox's clock: a guest is ended up to one tick (1 ms) late.

use nix::time::{ClockId, clock_gettime};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use wasmilter_message::{
    limit::{Limit, LimitSet},
    policy::Used,
};

/// What one call has used. Cheap to clone; all clones are the same meter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Nanoseconds, up to when the call last gave its thread back.
    spent: AtomicU64,
    /// The thread's clock when the call last got the thread, in nanoseconds.
    began: AtomicU64,
    /// Linear memory in bytes, once it is known.
    memory: AtomicU64,
    /// Limits that the guest was told of.
    refused: AtomicU32,
}

impl Meter {
    /// Drives `call` and counts what it uses.
    pub(crate) async fn measure<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|context| {
            self.0.began.store(thread_time(), Ordering::Relaxed);
            let polled = call.as_mut().poll(context);
            self.0.spent.store(self.used(), Ordering::Relaxed);
            polled
        })
        .await
    }

    /// What was used up to now. Asked by the thread that works on the call.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.used())
    }

    /// The instance has that much linear memory now.
    pub(crate) fn has_memory(&self, bytes: u64) {
        self.0.memory.store(bytes, Ordering::Relaxed);
    }

    /// The guest was told that it has passed that limit.
    pub(crate) fn refused(&self, limit: Limit) {
        self.0.refused.fetch_or(LimitSet::NONE.with(limit).bits(), Ordering::Relaxed);
    }

    /// What the call has used, once it is over.
    pub(crate) fn total(&self) -> Used {
        Used {
            cpu: Duration::from_nanos(self.0.spent.load(Ordering::Relaxed)),
            memory: self.0.memory.load(Ordering::Relaxed),
            refused: LimitSet::from_bits(self.0.refused.load(Ordering::Relaxed)),
        }
    }

    fn used(&self) -> u64 {
        let since = thread_time().saturating_sub(self.0.began.load(Ordering::Relaxed));
        self.0.spent.load(Ordering::Relaxed).saturating_add(since)
    }
}

/// The thread's processor time in nanoseconds; 0 where there is no such clock, and then there is no such limit.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(time: Duration) {
        let start = thread_time();
        while Duration::from_nanos(thread_time() - start) < time {
            std::hint::black_box(start);
        }
    }

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let meter = Meter::default();
        let call = async {
            work(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
            work(Duration::from_millis(20));
        };
        // What the thread does between two polls is not the call's.
        let ((), ()) = tokio::join!(meter.measure(call), async { work(Duration::from_millis(30)) });
        let used = meter.total().cpu;
        assert!((Duration::from_millis(40)..Duration::from_millis(50)).contains(&used), "{used:?}");
    }
}
