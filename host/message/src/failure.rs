//! Why a stage gave no decision. The stage's `on_failure` says what then happens to the message.

use crate::limit::Limit;
use serde::Serialize;
use std::fmt;

/// The kinds of failure that are told apart, counted (`wasmilter_stage_failures_total{cause}`) and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The plugin said itself that it could not decide.
    Failed,
    /// The plugin said that a service did not answer.
    Service,
    /// The plugin's code trapped: unreachable, out of bounds, division by zero, stack overflow, …
    Trap,
    /// The stage's time limit passed.
    Timeout,
    /// The plugin computed longer than the stage grants.
    Cpu,
    /// The plugin wanted more memory than the stage grants.
    Memory,
    /// A limit of the host was passed: edits, output bytes, log lines, host calls, streams.
    Limit,
    /// The decision was malformed, or asked for what the stage was not granted.
    Refused,
    /// No slot of the stage's concurrency limit became free in time.
    Overload,
    /// The whole message's deadline passed before the stage could begin.
    Deadline,
    /// The stage's actor died while it had the message.
    Died,
    /// The stage's condition could not be computed.
    Condition,
    /// The plugin rejected its configuration when it was started anew.
    Configure,
    /// The host could not keep the message as a stage changed it: disk full, limit of the spool.
    Store,
    /// The plugin was not called: it failed too often in a row, and the stage's breaker pauses it.
    CircuitOpen,
}

impl Cause {
    /// Every cause, for tables and metrics.
    pub const ALL: [Self; 15] = [
        Self::Failed,
        Self::Service,
        Self::Trap,
        Self::Timeout,
        Self::Cpu,
        Self::Memory,
        Self::Limit,
        Self::Refused,
        Self::Overload,
        Self::Deadline,
        Self::Died,
        Self::Condition,
        Self::Configure,
        Self::Store,
        Self::CircuitOpen,
    ];

    /// Its name in metrics, logs and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Service => "service",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Limit => "limit",
            Self::Refused => "refused",
            Self::Overload => "overload",
            Self::Deadline => "deadline",
            Self::Died => "died",
            Self::Condition => "condition",
            Self::Configure => "configure",
            Self::Store => "store",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// A failure: its kind and, for the log, what was being done, to what, the limit and the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Failure {
    /// Kind.
    pub cause: Cause,
    /// The limit that was passed, when it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// One line; no message content, no secrets.
    pub detail: String,
}

impl Failure {
    /// A failure of that kind.
    #[must_use]
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, limit: None, detail: detail.into() }
    }

    /// That limit was passed.
    #[must_use]
    pub fn limit(limit: Limit, detail: impl Into<String>) -> Self {
        Self { cause: limit.cause(), limit: Some(limit), detail: detail.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.name(), self.detail)
    }
}
