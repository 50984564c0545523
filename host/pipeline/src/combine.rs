//! From causes to verdicts: the one place that says what a failure does to a message.

use crate::stage::OnFailure;
use wasmilter_message::{
    decision::{Decision, HookDecision, HookVerdict, Reply, Verdict},
    facts::{Fact, Value},
    failure::{Cause, Failure},
};

/// What becomes of the message when `stage` failed by `cause`.
///
/// | cause | verdict |
/// |---|---|
/// | [`Cause::Deadline`], [`Cause::Store`] | temporary failure: it was the host, not the stage |
/// | any other | what `on_failure` says |
pub(crate) fn after_failure(stage: &str, cause: Cause, on_failure: OnFailure) -> Verdict {
    match (cause, on_failure) {
        (Cause::Deadline | Cause::Store, _) => host(cause),
        (_, OnFailure::Tempfail) => {
            Verdict::Tempfail(reply(451, "4.3.0", "Message could not be checked, try again later"))
        }
        (_, OnFailure::Reject) => Verdict::Reject(reply(554, "5.3.0", "Message could not be checked")),
        (_, OnFailure::Quarantine) => {
            Verdict::Quarantine { reason: cut(format!("stage {stage} failed: {}", cause.name())) }
        }
        (_, OnFailure::Skip) => Verdict::Next,
        (_, OnFailure::Accept) => Verdict::Accept,
    }
}

/// What becomes of the message when the host itself can not go on. Always a temporary failure: the client keeps the
/// message and comes back.
pub(crate) fn host(cause: Cause) -> Verdict {
    Verdict::Tempfail(match cause {
        Cause::Overload => reply(451, "4.3.2", "Too busy, try again later"),
        Cause::Store => reply(451, "4.3.1", "Out of space, try again later"),
        _ => reply(451, "4.3.0", "Message could not be checked, try again later"),
    })
}

/// The same for an envelope hook, which can only refuse: what can not be held back yet is refused for now, and who is
/// to be accepted goes on.
pub(crate) fn at_hook(verdict: Verdict) -> HookVerdict {
    match verdict {
        Verdict::Next | Verdict::Accept => HookVerdict::Next,
        Verdict::Reject(reply) => HookVerdict::Reject(reply),
        Verdict::Tempfail(reply) => HookVerdict::Tempfail(reply),
        Verdict::Quarantine { .. } | Verdict::Discard => at_hook(host(Cause::Failed)),
    }
}

/// Whether edits are without effect under this verdict: the received message is answered, nobody gets the final one.
pub(crate) fn drops_edits(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Reject(_) | Verdict::Tempfail(_) | Verdict::Discard)
}

/// Name of a hook's verdict in metrics and logs.
pub(crate) fn hook_name(verdict: &HookVerdict) -> &'static str {
    match verdict {
        HookVerdict::Next => "next",
        HookVerdict::Reject(_) => "reject",
        HookVerdict::Tempfail(_) => "tempfail",
    }
}

/// Checks what a decision says besides its edits.
pub(crate) fn check(decision: &Decision) -> Result<(), Failure> {
    match &decision.verdict {
        Verdict::Reject(reply) => reply.check('5').map_err(refused)?,
        Verdict::Tempfail(reply) => reply.check('4').map_err(refused)?,
        Verdict::Quarantine { reason } if reason.chars().count() > MAX_REASON => {
            return Err(refused(format!("reason of quarantine must have at most {MAX_REASON} characters")));
        }
        Verdict::Quarantine { reason } if reason.chars().any(char::is_control) => {
            return Err(refused("reason of quarantine must not contain control characters"));
        }
        Verdict::Quarantine { .. } | Verdict::Next | Verdict::Accept | Verdict::Discard => {}
    }
    check_facts(&decision.facts)
}

/// What a hook said, as a verdict.
pub(crate) fn of_hook(verdict: HookVerdict) -> Verdict {
    match verdict {
        HookVerdict::Next => Verdict::Next,
        HookVerdict::Reject(reply) => Verdict::Reject(reply),
        HookVerdict::Tempfail(reply) => Verdict::Tempfail(reply),
    }
}

/// The same for an envelope hook.
pub(crate) fn check_hook(decision: &HookDecision) -> Result<(), Failure> {
    match &decision.verdict {
        HookVerdict::Reject(reply) => reply.check('5').map_err(refused)?,
        HookVerdict::Tempfail(reply) => reply.check('4').map_err(refused)?,
        HookVerdict::Next => {}
    }
    check_facts(&decision.facts)
}

/// `wit/types.wit`: "at most 100 characters for the administrator".
const MAX_REASON: usize = 100;
/// `wit/types.wit`: "lower case letters, digits and `_`, at most 64 characters".
const MAX_FACT_NAME: usize = 64;

fn check_facts(facts: &[Fact]) -> Result<(), Failure> {
    for (number, fact) in (1_usize..).zip(facts) {
        let named = !fact.name.is_empty()
            && fact.name.len() <= MAX_FACT_NAME
            && fact.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !named {
            return Err(refused(format!(
                "name of fact {number} must be 1 to {MAX_FACT_NAME} lower case letters, digits and _"
            )));
        }
        if matches!(fact.value, Value::Number(value) if value.is_nan()) {
            return Err(refused(format!("fact {number} ({}) must be a number, is NaN", fact.name)));
        }
    }
    Ok(())
}

fn refused(reason: impl Into<String>) -> Failure {
    Failure::new(Cause::Refused, reason)
}

fn reply(code: u16, enhanced: &str, text: &str) -> Reply {
    Reply { code, enhanced: enhanced.to_owned(), text: text.to_owned() }
}

fn cut(reason: String) -> String {
    match reason.char_indices().nth(MAX_REASON) {
        Some(_) => reason.chars().take(MAX_REASON).collect(),
        None => reason,
    }
}
