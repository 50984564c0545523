//! What the client saw, and whether the host's metrics say the same.
//!
//! A client that closes the connection while it should wait for the answer can not know whether the message was judged: such
//! messages are counted apart, and the host's counters may be higher by up to their number.

use crate::{
    oracle::Judgement,
    plan::{Course, Message},
    stages::{Effect, STAGES},
};
use std::{collections::BTreeMap, fmt, time::Duration};
use wasmilter_tests::wasmilter::Metrics;

/// Complaints that are kept; more are counted only.
const KEPT: usize = 40;

/// Counts of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections that were made.
    pub(crate) connections: u64,
    /// Messages that were answered.
    pub(crate) answered: u64,
    /// Messages that were perhaps judged.
    pub(crate) perhaps: u64,
    /// Transactions that surely ended without a message, and those of which the host may have seen nothing.
    pub(crate) aborted: u64,
    pub(crate) perhaps_aborted: u64,
    pub(crate) protocol_errors: u64,
    /// By verdict.
    pub(crate) verdicts: BTreeMap<&'static str, u64>,
    /// By course.
    pub(crate) courses: BTreeMap<&'static str, u64>,
    /// From MAIL to the verdict, of undisturbed messages, in microseconds.
    pub(crate) took: Vec<u32>,
    stages: BTreeMap<usize, StageTally>,
    wrong: Vec<String>,
    wrong_in_all: u64,
}

#[derive(Debug, Default, Clone)]
struct StageTally {
    verdicts: BTreeMap<&'static str, u64>,
    failures: u64,
    perhaps: u64,
}

impl Tally {
    /// A message was answered, legally.
    pub(crate) fn answered(&mut self, judgement: &Judgement) {
        self.answered += 1;
        *self.verdicts.entry(judgement.answer.verdict()).or_default() += 1;
        for (stage, verdict) in &judgement.counted {
            let stage = self.stages.entry(*stage).or_default();
            match verdict {
                Some(verdict) => *stage.verdicts.entry(verdict).or_default() += 1,
                None => stage.failures += 1,
            }
        }
    }

    /// Nobody waited for the answer to a message.
    pub(crate) fn perhaps_judged(&mut self, message: &Message) {
        self.perhaps += 1;
        self.perhaps_aborted += 1;
        for (index, stage) in STAGES.iter().enumerate() {
            if stage.one_in == 0 || message.asks_for(index) {
                self.stages.entry(index).or_default().perhaps += 1;
            }
        }
    }

    pub(crate) fn course(&mut self, course: Course) {
        let name = match course {
            Course::Whole => "whole",
            Course::Abort(_) => "aborted",
            Course::Vanish(b'E') => "vanished instead of waiting",
            Course::Vanish(_) => "vanished",
            Course::Cut(_) => "cut",
            Course::Garbage(_) => "garbage",
            Course::HalfClose => "half closed",
        };
        *self.courses.entry(name).or_default() += 1;
    }

    pub(crate) fn took(&mut self, took: Duration) {
        self.took.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Something was not as it must be.
    pub(crate) fn wrong(&mut self, what: impl fmt::Display) {
        self.wrong_in_all += 1;
        if self.wrong.len() < KEPT {
            self.wrong.push(what.to_string());
        }
    }

    /// The first complaints, and how many there are in all.
    pub(crate) fn complaints(&self) -> (&[String], u64) {
        (&self.wrong, self.wrong_in_all)
    }

    /// Compares with what the host counted; gives what does not add up.
    pub(crate) fn compare(&self, metrics: &Metrics) -> Vec<String> {
        let (mut wrong, mut other_causes) = (Vec::new(), Vec::new());
        let mut between = |name: &str, labels: &[&str], least: u64, most: u64| {
            let got = metrics.sum(name, labels);
            #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
            if got < least as f64 || got > most as f64 {
                wrong.push(format!("{name}{labels:?} is {got}, must be {least} to {most}"));
            }
        };
        let label = |name: &str, value: &str| format!("{name}=\"{value}\"");
        between("wasmilter_messages_total", &[], self.answered, self.answered + self.perhaps);
        for verdict in ["accept", "reject", "tempfail", "discard", "quarantine"] {
            let seen = self.verdicts.get(verdict).copied().unwrap_or(0);
            between("wasmilter_messages_total", &[&label("verdict", verdict)], seen, seen + self.perhaps);
        }
        for (index, stage) in STAGES.iter().enumerate() {
            let name = label("stage", stage.name);
            let counted = self.stages.get(&index).cloned().unwrap_or_default();
            if stage.effect == Effect::Nothing && stage.name != "noop" {
                // What it says is not foretold, but it says something on every message.
                between("wasmilter_stage_decisions_total", &[&name], self.answered, self.answered + self.perhaps);
            } else {
                for verdict in ["next", "accept", "reject", "tempfail", "discard", "quarantine"] {
                    let seen = counted.verdicts.get(verdict).copied().unwrap_or(0);
                    let labels = [name.as_str(), &label("verdict", verdict)];
                    between("wasmilter_stage_decisions_total", &labels, seen, seen + counted.perhaps);
                }
            }
            between("wasmilter_stage_failures_total", &[&name], counted.failures, counted.failures + counted.perhaps);
            let causes = match stage.effect {
                Effect::Fails(causes, _) => causes,
                Effect::Scans => &["service", "timeout", "circuit_open", "overload"],
                _ => &[],
            };
            let by_cause =
                |cause: &&str| metrics.sum("wasmilter_stage_failures_total", &[&name, &label("cause", cause)]);
            let expected: f64 = causes.iter().map(by_cause).sum();
            let all = metrics.sum("wasmilter_stage_failures_total", &[&name]);
            if (expected - all).abs() > 0.5 {
                other_causes.push(format!("{name} failed {all} times, but {expected} times by {causes:?}"));
            }
        }
        between("wasmilter_connections_total", &[], self.connections, self.connections);
        between("wasmilter_protocol_errors_total", &[], self.protocol_errors, self.protocol_errors);
        let aborted = "wasmilter_transactions_aborted_total";
        between(aborted, &[], self.aborted, self.aborted + self.perhaps_aborted);
        for idle in [
            "wasmilter_connections",
            "wasmilter_messages_in_flight",
            "wasmilter_messages_waiting",
            "wasmilter_stage_in_flight",
            "wasmilter_stage_waiting",
            "wasmilter_stage_restarts_total",
            "wasmilter_host_failures_total",
            "wasmilter_messages_not_judged_total",
            "wasmilter_panics_total",
        ] {
            between(idle, &[], 0, 0);
        }
        wrong.append(&mut other_causes);
        wrong
    }
}
