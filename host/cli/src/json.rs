//! The explanation of a trial, for programs: one object. Its names are part of the public interface.

use crate::edit;
use serde_json::{Map, Value, json};
use wasmilter_app::trial::Outcome;
use wasmilter_message::{
    decision::HookVerdict,
    judge::Hook,
    trace::{ConditionTrace, StageTrace},
};

/// An outcome as JSON.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let trace = outcome.judged.as_ref().map(|judged| &judged.trace);
    let stages: Vec<Value> = trace.iter().flat_map(|trace| &trace.stages).map(stage).collect();
    let mut shown = json!({
        "verdict": outcome.verdict,
        "reply": outcome.reply,
        "stages": stages,
        "modifications": outcome.modifications,
        "hooks": outcome.hooks.iter().map(|asked| json!({
            "hook": asked.hook.name(),
            "recipient": match &asked.hook { Hook::Rcpt(mailbox) => Some(mailbox.address()), _ => None },
            "verdict": match asked.verdict {
                HookVerdict::Next => "next",
                HookVerdict::Reject(_) => "reject",
                HookVerdict::Tempfail(_) => "tempfail",
            },
            "reply": asked.reply,
        })).collect::<Vec<_>>(),
        "failure": trace.and_then(|trace| trace.host.as_ref()),
        "microseconds": trace.map_or(0, |trace| microseconds(trace.took)),
    });
    if let (Some(route), Some(shown)) = (trace.and_then(|trace| trace.route.as_deref()), shown.as_object_mut()) {
        shown.insert("route".to_owned(), json!(route));
    }
    shown
}

fn stage(stage: &StageTrace) -> Value {
    let facts: Map<String, Value> =
        stage.facts.iter().map(|fact| (format!("{}.{}", stage.name, fact.name), json!(fact.value))).collect();
    let mut shown = json!({
        "name": &*stage.name,
        "plugin": &*stage.plugin,
        "condition": stage.condition.as_ref().map(condition),
        "ran": stage.ran,
        "shadow": stage.shadow,
        "verdict": stage.verdict.as_ref().map(|verdict| verdict.name()),
        "edits": stage.edits.iter().map(edit::to_json).collect::<Vec<_>>(),
        "facts": facts,
        "failure": stage.failure,
        "microseconds": microseconds(stage.took),
    });
    if let (Some(group), Some(shown)) = (&stage.group, shown.as_object_mut()) {
        shown.insert("group".to_owned(), json!(&**group));
        shown.insert("dropped".to_owned(), json!(stage.dropped));
    }
    shown
}

fn condition(condition: &ConditionTrace) -> Value {
    json!({
        "source": &*condition.source,
        "negated": condition.negated,
        "value": condition.value.as_ref().ok(),
        "error": condition.value.as_ref().err(),
    })
}

fn microseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
