//! Everything that happened to one message, stage by stage. Metrics, the log line and `wasmilter try` are made from it.

use crate::{
    decision::{Edit, Verdict},
    facts::Fact,
    failure::Failure,
    policy::Used,
};
use std::{sync::Arc, time::Duration};

/// The trace of one message.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Name of the route that the message took; None where none is configured.
    pub route: Option<Arc<str>>,
    /// One per stage of the route that was reached, in order.
    pub stages: Vec<StageTrace>,
    /// From the gate to the verdict.
    pub took: Duration,
    /// Why the host itself had to decide, when no stage did: no permit, deadline passed, disk full.
    pub host: Option<Failure>,
}

/// What one stage did.
#[derive(Debug, Clone)]
pub struct StageTrace {
    /// Name of the stage.
    pub name: Arc<str>,
    /// The plugin as configured: a bundled name or a path.
    pub plugin: Arc<str>,
    /// The group of stages that it was asked together with.
    pub group: Option<Arc<str>>,
    /// Its condition, when it has one.
    pub condition: Option<ConditionTrace>,
    /// Whether the plugin was called.
    pub ran: bool,
    /// Whether what it said was only recorded (`mode = "shadow"`).
    pub shadow: bool,
    /// Whether what it said, or was about to say, did not count because a stage before it in its group ended the run.
    pub dropped: bool,
    /// What the stage said, or, after a failure, what `on_failure` made of it. None when it did not run.
    pub verdict: Option<Verdict>,
    /// Its edits; applied unless `shadow` or `dropped`, or the verdict made them pointless.
    pub edits: Vec<Edit>,
    /// Its facts.
    pub facts: Vec<Fact>,
    /// Why it gave no decision.
    pub failure: Option<Failure>,
    /// Waiting for a slot, and the call.
    pub took: Duration,
    /// Of that, waiting for a slot.
    pub waited: Duration,
    /// What the call used.
    pub used: Used,
}

/// What became of a condition.
#[derive(Debug, Clone)]
pub struct ConditionTrace {
    /// Source text.
    pub source: Arc<str>,
    /// Whether it came from `unless` instead of `when`.
    pub negated: bool,
    /// Its value, or why it has none.
    pub value: Result<bool, String>,
}
