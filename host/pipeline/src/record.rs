//! What was decided about one message or at one hook, with nothing of the message in it: no address, no header, no content, no
//! reply, no fact. What may be shown to who watches the host, and sent elsewhere.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use wasmilter_message::{
    decision::Edit,
    failure::Cause,
    limit::Limit,
    policy::Used,
    trace::{StageTrace, Trace},
};

/// One decision of the whole pipeline.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was made.
    pub at: SystemTime,
    /// The id in the host's log.
    pub id: Arc<str>,
    /// The mail server's.
    pub queue_id: Option<String>,
    /// The door that it came through.
    pub door: &'static str,
    /// The hook, when it was no whole message.
    pub hook: Option<&'static str>,
    /// Name of the verdict.
    pub verdict: &'static str,
    /// Bytes of the message; 0 at a hook.
    pub size: u64,
    /// From the gate to the verdict.
    pub took: Duration,
    /// Why the host itself had to decide, when no stage did.
    pub failure: Option<Cause>,
    /// The stages that were reached, in order.
    pub stages: Vec<StageRecord>,
}

/// What one stage did.
#[derive(Debug, Clone)]
pub struct StageRecord {
    /// Name of the stage.
    pub name: Arc<str>,
    /// The plugin as configured.
    pub plugin: Arc<str>,
    /// Whether the plugin was called.
    pub ran: bool,
    /// Whether what it said was only recorded.
    pub shadow: bool,
    /// Name of its verdict, or of what `on_failure` made of its failure. None when it did not run.
    pub verdict: Option<&'static str>,
    /// Why it gave no decision.
    pub failure: Option<Cause>,
    /// The limit that it ran into, when that was why.
    pub limit: Option<Limit>,
    /// Kinds of its edits, in order.
    pub edits: Vec<&'static str>,
    /// How long before the verdict its turn began: stages follow each other, those of a group begin together, and the last to end ends with
    /// the verdict.
    pub before_verdict: Duration,
    /// Waiting for a slot, and the call.
    pub took: Duration,
    /// Of that, waiting for a slot.
    pub waited: Duration,
    /// What the call used.
    pub used: Used,
}

impl Record {
    /// A record of `trace`; what the trace does not say is empty.
    #[must_use]
    pub fn new(id: &str, door: &'static str, verdict: &'static str, trace: &Trace) -> Self {
        Self {
            at: SystemTime::now(),
            id: Arc::from(id),
            queue_id: None,
            door,
            hook: None,
            verdict,
            size: 0,
            took: trace.took,
            failure: trace.host.as_ref().map(|failure| failure.cause),
            stages: in_time(&trace.stages),
        }
    }
}

/// The stages with the time when each began. Those of a group began together.
fn in_time(stages: &[StageTrace]) -> Vec<StageRecord> {
    let mut records = Vec::with_capacity(stages.len());
    let mut before_verdict = Duration::ZERO;
    for step in stages.chunk_by(|one, next| one.group.is_some() && one.group == next.group).rev() {
        let longest = step.iter().map(|trace| trace.took).max().unwrap_or_default();
        before_verdict = before_verdict.saturating_add(longest);
        records.extend(step.iter().rev().map(|trace| StageRecord { before_verdict, ..StageRecord::new(trace) }));
    }
    records.reverse();
    records
}

impl StageRecord {
    fn new(trace: &StageTrace) -> Self {
        Self {
            name: Arc::clone(&trace.name),
            plugin: Arc::clone(&trace.plugin),
            ran: trace.ran,
            shadow: trace.shadow,
            verdict: trace.verdict.as_ref().map(|verdict| verdict.name()),
            failure: trace.failure.as_ref().map(|failure| failure.cause),
            limit: trace.failure.as_ref().and_then(|failure| failure.limit),
            edits: trace.edits.iter().map(Edit::name).collect(),
            before_verdict: Duration::ZERO,
            took: trace.took,
            waited: trace.waited,
            used: trace.used,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, group: Option<&str>, milliseconds: u64) -> StageTrace {
        StageTrace {
            name: Arc::from(name),
            plugin: Arc::from("test"),
            group: group.map(Arc::from),
            condition: None,
            ran: true,
            dropped: false,
            shadow: false,
            verdict: None,
            edits: Vec::new(),
            facts: Vec::new(),
            failure: None,
            took: Duration::from_millis(milliseconds),
            waited: Duration::ZERO,
            used: Used::default(),
        }
    }

    #[test]
    fn stages_of_a_group_began_together() {
        let stages = [
            stage("first", None, 1),
            stage("slow", Some("scanners"), 30),
            stage("quick", Some("scanners"), 5),
            stage("last", None, 2),
        ];
        let began: Vec<(String, u128)> = in_time(&stages)
            .iter()
            .map(|record| (record.name.to_string(), record.before_verdict.as_millis()))
            .collect();
        let expected = [("first", 33), ("slow", 32), ("quick", 32), ("last", 2)];
        assert_eq!(began, expected.map(|(name, before)| (name.to_owned(), before)));
    }
}
