//! The clock of the sandbox: a thread that advances the engine's epoch every millisecond while some guest runs.
//!
//! Compiled guests look at the epoch at every loop and function entry; when it has advanced, the host gets the thread
//! back for a moment (`call.rs`). Most calls are over long before the next tick, so the thread goes on for a tick after the
//! last: under load, waking it for every call would cost more than many calls do. After that it sleeps without any timer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use wasmtime::Engine;

/// How long a guest runs before others get their turn. A spinning guest is noticed one tick after its deadline.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without a guest after which the thread sleeps until it is woken.
const LINGER: u32 = 1;

/// The thread; stops when this is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    /// Whether the thread sleeps, or is about to.
    parked: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("sandbox-clock".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || tick(&shared, &engine)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the clock going as long as the guard lives.
    pub(crate) fn run(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0
            && self.shared.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Ends within a tick. It can not have panicked in a way that matters here.
            drop(thread.join());
        }
    }
}

/// Some guest runs.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    let mut idle = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) != 0 {
            idle = 0;
        } else if idle < LINGER {
            idle = idle.saturating_add(1);
        } else {
            idle = 0;
            shared.parked.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
                // An `unpark` between the load and here is kept: `park` then returns at once.
                thread::park();
            }
            shared.parked.store(false, Ordering::SeqCst);
            continue;
        }
        thread::sleep(TICK);
        engine.increment_epoch();
    }
}
