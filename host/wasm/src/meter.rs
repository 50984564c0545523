//! Processor time of one call: what the thread used while it worked on the call, the guest and the host's functions that it
//! called alike. Work that the host does on other threads (parsing and decoding of what is large) and waiting are not in it.
//!
//! The clock that counts is the thread's own (`CLOCK_THREAD_CPUTIME_ID`): what the machine does besides does not count, nor what
//! the scheduler gave to others. Reading it is a system call, which costs more than many plugins do. So it is not read for a
//! call's first [`SHORT`] of work, which count as long as they took on the wall; and when a call gets beyond that at once, it counts as the
//! lesser of that and of what the thread has used since its clock was last read, [`STALE`] before the work began at
//! most. The limit is looked at at every tick of the sandbox's clock: a guest is ended up to one tick (1 ms) late.

use nix::time::{ClockId, clock_gettime};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
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
    /// Nanoseconds, up to when it was last looked at.
    spent: AtomicU64,
    /// Linear memory in bytes, once it is known.
    memory: AtomicU64,
    /// Limits that the guest was told of.
    refused: AtomicU32,
}

/// Less work is not worth a look at the thread's clock. The system gives a thread's processor to others for longer, mostly.
const SHORT: Duration = Duration::from_micros(500);

/// Other work of the thread that may count as the call's, at most.
const STALE: Duration = Duration::from_millis(5);

thread_local! {
    /// When what the thread works on now was last counted.
    static COUNTED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When the thread's clock was last read, and what it said, in nanoseconds.
    static CLOCK: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

impl Meter {
    /// Drives `call` and counts what it uses.
    pub(crate) async fn measure<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|context| {
            self.begin();
            let polled = call.as_mut().poll(context);
            self.count();
            polled
        })
        .await
    }

    /// What was used up to now. Asked by the thread that works on the call.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.count())
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

    /// The thread begins with work that counts.
    fn begin(&self) {
        let now = Instant::now();
        COUNTED.set(Some(now));
        let fresh = CLOCK.get().is_some_and(|(read, _)| now.saturating_duration_since(read) < STALE);
        if self.is_long(Duration::ZERO) || !fresh {
            CLOCK.set(Some((now, thread_time())));
        }
    }

    /// Counts what the thread did since it was last counted. Gives what was used in all, in nanoseconds.
    fn count(&self) -> u64 {
        let now = Instant::now();
        let wall = COUNTED.replace(Some(now)).map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        let mut used = nanoseconds(wall);
        if self.is_long(wall) {
            let clock = thread_time();
            let before = CLOCK.replace(Some((now, clock))).map(|(_, before)| before).unwrap_or_default();
            used = used.min(clock.saturating_sub(before));
        }
        let spent = self.0.spent.load(Ordering::Relaxed).saturating_add(used);
        self.0.spent.store(spent, Ordering::Relaxed);
        spent
    }

    /// Whether the call has used so much that a look at the thread's clock does not count; `more`: what it may have used besides.
    fn is_long(&self, more: Duration) -> bool {
        self.0.spent.load(Ordering::Relaxed).saturating_add(nanoseconds(more)) >= nanoseconds(SHORT)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The thread's processor time in nanoseconds; 0 where there is no such clock, and then there is no such limit.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    nanoseconds(time)
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
