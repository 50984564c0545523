//! `expected.toml`: what the plugin must say.

use crate::{
    case::{Ask, Case},
    outcome::Contents,
    script::store::StoreScript,
    source::{CaseError, Source},
    transaction::StoreKeys,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Spanned;
use wasmilter_message::failure::Cause;

/// What a plugin must say in a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The configuration must be refused, with these problems: beginnings of `POINTER: MESSAGE`.
    pub problems: Option<Vec<String>>,
    /// By call of the case.
    pub calls: Vec<ExpectedCall>,
    /// What the store must have afterwards; None: anything.
    pub store: Option<Contents>,
}

/// What a plugin must say to one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectedCall {
    /// As in [`crate::Said`].
    pub verdict: String,
    /// None: any.
    pub code: Option<u16>,
    /// A piece of [`crate::Said::reply`].
    pub reply: Option<String>,
    /// None: any.
    pub failure: Option<String>,
    /// Beginnings of the edits' lines.
    pub edits: Vec<String>,
    /// Facts that must be there.
    pub facts: BTreeMap<String, Value>,
}

/// The file, and each `[[call]]` in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    verdict: Option<Spanned<String>>,
    code: Option<u16>,
    reply: Option<String>,
    failure: Option<Spanned<String>>,
    edits: Option<Vec<String>>,
    facts: Option<BTreeMap<String, Value>>,
    problems: Option<Spanned<Vec<String>>>,
    call: Option<Spanned<Vec<Spanned<Keys>>>>,
    store: Option<Spanned<StoreKeys>>,
}

impl Keys {
    /// Whether there is anything that belongs to a call.
    fn says_anything(&self) -> bool {
        self.verdict.is_some()
            || self.code.is_some()
            || self.reply.is_some()
            || self.failure.is_some()
            || self.edits.is_some()
            || self.facts.is_some()
    }
}

const MESSAGE_VERDICTS: &[&str] = &["next", "accept", "reject", "tempfail", "discard", "quarantine", "failure"];
const HOOK_VERDICTS: &[&str] = &["next", "reject", "tempfail", "failure"];

impl Expected {
    /// The file of a case.
    ///
    /// # Errors
    /// The first mistake in it; also when it speaks of more or fewer calls than the case makes.
    pub fn load(case: &Case) -> Result<Self, CaseError> {
        let source = Source::read(case.folder().join("expected.toml"))?;
        let mut keys: Keys = source.parse()?;
        let store = match keys.store.take() {
            Some(store) => Some(StoreScript::read(store.into_inner(), &source)?.contents()),
            None => None,
        };
        let calls = keys.call.take();
        let problems = keys.problems.take();
        let says_more = keys.says_anything();
        if let Some(problems) = problems {
            if calls.is_some() || store.is_some() || says_more {
                return Err(source.wrong(&problems.span(), "`problems` stands alone: nothing is called"));
            }
            return Ok(Self { problems: Some(problems.into_inner()), calls: Vec::new(), store: None });
        }
        let calls = match calls {
            None => vec![Spanned::new(0..0, keys)],
            Some(calls) if !says_more => {
                let (told, made) = (calls.get_ref().len(), case.calls.len());
                if told != made {
                    return Err(source.wrong(&calls.span(), format!("{told} calls, but the case makes {made}")));
                }
                calls.into_inner()
            }
            Some(calls) => return Err(source.wrong(&calls.span(), "what is expected of calls stands in each [[call]]")),
        };
        if calls.len() != case.calls.len() {
            let message = format!("the case makes {} calls: write as many [[call]]", case.calls.len());
            return Err(source.wrong(&(0..0), message));
        }
        let calls = calls.into_iter().zip(&case.calls).map(|(keys, made)| call(keys, &made.ask, &source));
        Ok(Self { problems: None, calls: calls.collect::<Result<_, _>>()?, store })
    }
}

fn call(keys: Spanned<Keys>, ask: &Ask, source: &Source) -> Result<ExpectedCall, CaseError> {
    let span = keys.span();
    let keys = keys.into_inner();
    let verdicts = match ask {
        Ask::Message { .. } => MESSAGE_VERDICTS,
        _ => HOOK_VERDICTS,
    };
    if keys.call.is_some() || keys.problems.is_some() || keys.store.is_some() {
        return Err(source.wrong(&span, "`call`, `problems` and `store` stand above the first [[call]]"));
    }
    let Some(verdict) = keys.verdict else { return Err(source.wrong(&span, "`verdict` is missing")) };
    if !verdicts.contains(&verdict.get_ref().as_str()) {
        let message = format!("must be one of {}, is {:?}", verdicts.join(", "), verdict.get_ref());
        return Err(source.wrong(&verdict.span(), message));
    }
    if let Some(failure) = &keys.failure {
        if verdict.get_ref() != "failure" {
            return Err(source.wrong(&failure.span(), "goes with verdict = \"failure\""));
        }
        if !Cause::ALL.iter().any(|cause| cause.name() == failure.get_ref()) {
            let names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
            let message = format!("must be one of {}, is {:?}", names.join(", "), failure.get_ref());
            return Err(source.wrong(&failure.span(), message));
        }
    }
    Ok(ExpectedCall {
        verdict: verdict.into_inner(),
        code: keys.code,
        reply: keys.reply,
        failure: keys.failure.map(Spanned::into_inner),
        edits: keys.edits.unwrap_or_default(),
        facts: keys.facts.unwrap_or_default(),
    })
}
