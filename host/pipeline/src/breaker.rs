//! Takes a plugin that fails again and again out of the way of mail, and lets it back in.
//!
//! ```text
//!            `failures` in a row                    pause over: one message goes through
//!   closed ──────────────────────► open (pause) ────────────────────────────────────────► half open
//!     ▲                              ▲                                                      │    │
//!     │                              └────────── it failed: the pause doubles ──────────────┘    │
//!     └────────────────────────────────────────── it did not ────────────────────────────────────┘
//! ```
//!
//! While the breaker is open, and for everybody but the trial message while it is half open, the stage fails at once by
//! [`Cause::CircuitOpen`]. One breaker serves all workers. Only what the plugin or its service is to blame for counts;
//! what says nothing about them (no slot, no time left, a sender that hung up) neither counts nor clears.

use crate::metrics::BreakerMetrics;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use wasmilter_message::failure::{Cause, Failure};

/// When a stage's plugin is taken out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it. 0: it never opens.
    pub failures: u32,
    /// How long the plugin is not called, the first time.
    pub pause: Duration,
    /// Each trial that fails doubles the pause, up to this.
    pub longest_pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30), longest_pause: Duration::from_secs(600) }
    }
}

/// The breaker of one stage.
pub(crate) struct Breaker {
    stage: Arc<str>,
    settings: BreakerSettings,
    metrics: BreakerMetrics,
    state: Mutex<State>,
}

struct State {
    position: Position,
    /// Counts changes of the position: what a call has to say that began before the last change is old news.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Closed { failed: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { pause: Duration },
}

/// The permission to call the plugin once. Whoever has it says how the call ended; dropped without a word, it ended in
/// nothing that counts.
pub(crate) struct Admitted<'a> {
    breaker: &'a Breaker,
    epoch: u64,
    /// Whether the call had time enough for a time-out to be the plugin's fault.
    had_its_time: bool,
    settled: bool,
}

/// A call that had less than this, and less than its stage's time limit, and ran out of it, says nothing about the plugin: earlier
/// stages took the time.
const FAIR: Duration = Duration::from_secs(1);

/// What a call says about its plugin.
enum Health {
    Works,
    Fails(Cause),
    Unknown,
}

impl Breaker {
    pub(crate) fn new(stage: Arc<str>, settings: BreakerSettings, metrics: BreakerMetrics) -> Self {
        let state = State { position: Position::Closed { failed: 0 }, epoch: 0 };
        Self { stage, settings, metrics, state: Mutex::new(state) }
    }

    /// Whether the plugin may be called now. The first to ask after the pause is the trial.
    ///
    /// # Errors
    /// [`Cause::CircuitOpen`].
    pub(crate) fn admit(&self) -> Result<Admitted<'_>, Failure> {
        let mut state = self.lock();
        match state.position {
            Position::Closed { .. } => {}
            Position::Open { until, pause } if until <= Instant::now() => {
                self.enter(&mut state, Position::HalfOpen { pause });
                tracing::info!(stage = &*self.stage, "breaker is half open: one message tries the stage's plugin");
            }
            Position::Open { until, .. } => {
                let left = until.saturating_duration_since(Instant::now());
                let detail = format!("the plugin failed too often in a row, it is paused for {left:.1?} more");
                return Err(Failure::new(Cause::CircuitOpen, detail));
            }
            Position::HalfOpen { .. } => {
                let detail = "the plugin failed too often in a row, another message is trying it";
                return Err(Failure::new(Cause::CircuitOpen, detail));
            }
        }
        Ok(Admitted { breaker: self, epoch: state.epoch, had_its_time: false, settled: false })
    }

    fn settle(&self, epoch: u64, health: &Health) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        match (state.position, health) {
            (Position::Closed { failed: 0 }, Health::Works) | (Position::Open { .. }, _) => {}
            (Position::Closed { .. }, Health::Works) => state.position = Position::Closed { failed: 0 },
            (Position::Closed { failed }, Health::Fails(cause)) => {
                let failed = failed.saturating_add(1);
                state.position = Position::Closed { failed };
                if self.settings.failures != 0 && failed >= self.settings.failures {
                    self.open(&mut state, self.settings.pause, *cause);
                }
            }
            (Position::Closed { .. }, Health::Unknown) => {}
            (Position::HalfOpen { .. }, Health::Works) => {
                self.enter(&mut state, Position::Closed { failed: 0 });
                tracing::info!(stage = &*self.stage, "breaker is closed: the stage's plugin works again");
            }
            (Position::HalfOpen { pause }, Health::Fails(cause)) => {
                let longest = self.settings.longest_pause.max(self.settings.pause);
                self.open(&mut state, pause.saturating_mul(2).min(longest), *cause);
            }
            // The next message tries.
            (Position::HalfOpen { pause }, Health::Unknown) => {
                self.enter(&mut state, Position::Open { until: Instant::now(), pause });
            }
        }
    }

    fn open(&self, state: &mut State, pause: Duration, last: Cause) {
        let until = Instant::now().checked_add(pause).unwrap_or_else(Instant::now);
        self.enter(state, Position::Open { until, pause });
        self.metrics.openings.inc();
        tracing::warn!(
            stage = &*self.stage,
            last = last.name(),
            ?pause,
            "breaker is open: the stage's plugin failed again and again and is not called, on_failure decides"
        );
    }

    fn enter(&self, state: &mut State, position: Position) {
        state.position = position;
        state.epoch = state.epoch.wrapping_add(1);
        self.metrics.state.show(match position {
            Position::Closed { .. } => 0,
            Position::Open { .. } => 1,
            Position::HalfOpen { .. } => 2,
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted<'_> {
    /// The call begins, with that much time of the stage's `limit`.
    pub(crate) fn begins(&mut self, given: Duration, limit: Duration) {
        self.had_its_time = given >= limit.min(FAIR);
    }

    /// Says how the call ended: well, or with this failure.
    pub(crate) fn settle(mut self, failure: Option<&Failure>) {
        let health = match failure {
            None => Health::Works,
            Some(failure) => health(failure.cause, self.had_its_time),
        };
        self.settled = true;
        self.breaker.settle(self.epoch, &health);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.settle(self.epoch, &Health::Unknown);
        }
    }
}

fn health(cause: Cause, had_its_time: bool) -> Health {
    match cause {
        Cause::Trap
        | Cause::Cpu
        | Cause::Memory
        | Cause::Limit
        | Cause::Refused
        | Cause::Service
        | Cause::Configure => Health::Fails(cause),
        Cause::Timeout if had_its_time => Health::Fails(cause),
        // It answered: that this message is beyond it.
        Cause::Failed => Health::Works,
        Cause::Timeout
        | Cause::Overload
        | Cause::Deadline
        | Cause::Died
        | Cause::Condition
        | Cause::Store
        | Cause::CircuitOpen => Health::Unknown,
    }
}
