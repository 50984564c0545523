//! What envelope hooks answer.

use crate::{
    Deferral, Fact, FactValue, Rejection,
    bindings::wasmilter::policy::hook_types::{self as contract, HookVerdict},
    fact::fact,
};

/// What an envelope hook answers.
#[derive(Debug, Clone)]
#[must_use]
pub struct HookDecision {
    verdict: HookVerdict,
    facts: Vec<Fact>,
}

impl HookDecision {
    const fn new(verdict: HookVerdict) -> Self {
        Self { verdict, facts: Vec::new() }
    }

    /// Go on.
    #[allow(clippy::should_implement_trait, reason = "a constructor named like the verdict, not an iterator's method")]
    pub const fn next() -> Self {
        Self::new(HookVerdict::Next)
    }

    /// Refuse for good: at connect and HELO the session, at MAIL the transaction, at RCPT the recipient.
    pub fn reject(answer: impl Into<Rejection>) -> Self {
        Self::new(HookVerdict::Reject(answer.into().into_contract()))
    }

    /// Refuse for now, likewise.
    pub fn tempfail(answer: impl Into<Deferral>) -> Self {
        Self::new(HookVerdict::Tempfail(answer.into().into_contract()))
    }

    /// Publishes a fact, kept for the rest of the transaction (at connect and HELO: of the session). See
    /// [`Decision::with_fact`](crate::Decision::with_fact).
    pub fn with_fact(mut self, name: &str, value: impl Into<FactValue>) -> Self {
        self.facts.extend(fact(name, value.into()));
        self
    }

    /// What should happen.
    #[must_use]
    pub const fn verdict(&self) -> &HookVerdict {
        &self.verdict
    }

    /// The facts, in order.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only the sandbox exports"))]
    pub(crate) fn into_contract(self) -> contract::HookDecision {
        contract::HookDecision { verdict: self.verdict, facts: self.facts }
    }
}
