//! What everybody in a run shares: where the host is, what is known of it, how fast to go, what was seen.

use crate::{oracle::World, tally::Tally};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;
use wasmilter_tests::fake_mta::Mail;

/// All of it lives on one thread.
pub(crate) struct Ground {
    pub(crate) unix: PathBuf,
    pub(crate) tcp: SocketAddr,
    pub(crate) corpus: Vec<Mail>,
    pub(crate) known: Known,
    pub(crate) pace: Pace,
    pub(crate) tally: RefCell<Tally>,
}

/// The scanner is not trusted earlier than this after it came back: calls that began before must have failed, and the
/// breaker's longest pause must have passed.
const DISTRUST: Duration = Duration::from_secs(5);

/// What is known of the host and its service.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The configuration that is surely in force, and the one that was asked for.
    pub(crate) confirmed: Cell<u32>,
    pub(crate) requested: Cell<u32>,
    /// Since when the scanner has been up.
    scanner: Cell<Option<Instant>>,
    /// Whether it has answered since it is trusted: so the breaker is closed.
    proved: Cell<bool>,
}

/// What was known when a message began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    generation: u32,
    at: Instant,
    scanner: Option<Instant>,
    proved: bool,
}

impl Known {
    /// The scanner is up from now on, or not.
    pub(crate) fn scanner(&self, up: bool) {
        self.scanner.set(up.then(Instant::now));
        self.proved.set(false);
    }

    pub(crate) fn before(&self) -> Before {
        let (scanner, proved) = (self.scanner.get(), self.proved.get());
        Before { generation: self.confirmed.get(), at: Instant::now(), scanner, proved }
    }

    /// What was known all the time since `before`.
    pub(crate) fn world(&self, before: &Before) -> World {
        let scanner_up = before.proved && before.scanner.is_some() && before.scanner == self.scanner.get();
        World { generations: before.generation..=self.requested.get(), scanner_up }
    }

    /// A message that began then was scanned.
    pub(crate) fn scanned(&self, before: &Before) {
        let trusted = before.scanner.is_some_and(|since| before.at.saturating_duration_since(since) > DISTRUST);
        if trusted && before.scanner == self.scanner.get() {
            self.proved.set(true);
        }
    }
}

/// Further behind than this the clock is set anew: the machine had other things to do.
const MOST_BEHIND: Duration = Duration::from_secs(3);

/// How fast to go, and until when.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Cell<Instant>,
    end: Cell<Instant>,
    /// Messages a second; none: each as soon as the one before it on its connection is answered.
    rate: Cell<Option<f64>>,
    issued: Cell<u64>,
    /// For how long in all the rate could not be kept.
    pub(crate) slipped: Cell<Duration>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: Cell::new(now),
            end: Cell::new(now),
            rate: Cell::new(None),
            issued: Cell::new(0),
            slipped: Cell::new(Duration::ZERO),
        }
    }

    /// From now on at that rate, for so long.
    pub(crate) fn set(&self, rate: Option<f64>, during: Duration) {
        let now = Instant::now();
        self.began.set(now);
        self.end.set(now + during);
        self.rate.set(rate);
        self.issued.set(0);
    }

    /// Messages since the rate was set.
    pub(crate) fn issued(&self) -> u64 {
        self.issued.get()
    }

    pub(crate) fn end(&self) -> Instant {
        self.end.get()
    }

    /// Whether there is time for another message.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.end.get()
    }

    /// Waits until another message is due; false when there will be none.
    pub(crate) async fn turn(&self) -> bool {
        let number = self.issued.get();
        self.issued.set(number + 1);
        if let Some(rate) = self.rate.get() {
            #[allow(clippy::cast_precision_loss, reason = "numbers of messages are far below 2^52")]
            let due = self.began.get() + Duration::from_secs_f64(number as f64 / rate);
            let behind = Instant::now().saturating_duration_since(due);
            if behind > MOST_BEHIND {
                self.began.set(self.began.get() + behind);
                self.slipped.set(self.slipped.get() + behind);
            }
            sleep_until(due.min(self.end.get()).into()).await;
        }
        self.goes_on()
    }
}
