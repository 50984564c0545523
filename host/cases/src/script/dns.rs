//! `[dns]`: answers by name.

use super::{Strayed, lock};
use crate::{
    source::{CaseError, Short, Source},
    transaction::{Answers, DnsKeys},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use wasmilter_message::{
    deadline::Deadline,
    dns::{Dns, DnsError, MailExchanger},
    judge::BoxFuture,
};

/// All answers of a case, by kind and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct DnsScript(BTreeMap<(&'static str, String), Result<Vec<String>, DnsError>>);

const ADDRESSES: &str = "addresses";
const TEXTS: &str = "texts";
const MAIL_EXCHANGERS: &str = "mail_exchangers";
const NAMES: &str = "names";

impl DnsScript {
    pub(crate) fn read(keys: DnsKeys, source: &Source) -> Result<Self, CaseError> {
        let mut script = BTreeMap::new();
        let kinds = [
            (ADDRESSES, keys.addresses),
            (TEXTS, keys.texts),
            (MAIL_EXCHANGERS, keys.mail_exchangers),
            (NAMES, keys.names),
        ];
        for (kind, answers) in kinds {
            for (name, answer) in read(kind, answers, source)? {
                script.insert((kind, name), answer);
            }
        }
        Ok(Self(script))
    }
}

type ReadAnswers = Vec<(String, Result<Vec<String>, DnsError>)>;

fn read(kind: &str, answers: Answers, source: &Source) -> Result<ReadAnswers, CaseError> {
    let answer = |(name, answer): (String, toml::Spanned<Short<String, Vec<String>>>)| {
        let span = answer.span();
        let answer = match answer.into_inner() {
            Short::Long(records) => {
                if kind == MAIL_EXCHANGERS
                    && let Some(wrong) = records.iter().find(|record| exchanger(record).is_none())
                {
                    let message =
                        format!("must be a preference and a host such as \"10 mx.example.org\", is {wrong:?}");
                    return Err(source.wrong(&span, message));
                }
                Ok(records)
            }
            Short::Short(error) => Err(match error.as_str() {
                "timed-out" => DnsError::TimedOut,
                "failed" => DnsError::Failed("the name server answered SERVFAIL".to_owned()),
                other => {
                    let message = format!("must be a list, \"timed-out\" or \"failed\", is {other:?}");
                    return Err(source.wrong(&span, message));
                }
            }),
        };
        Ok((same(&name), answer))
    };
    answers.into_iter().map(answer).collect()
}

/// `10 mx.example.org`; the null MX is `0 ` or `0 .`.
fn exchanger(text: &str) -> Option<MailExchanger> {
    let (preference, host) = text.split_once(' ').unwrap_or((text, ""));
    let host = host.trim().trim_end_matches('.').to_owned();
    Some(MailExchanger { preference: preference.parse().ok()?, host })
}

/// Names are the same without case and final dot.
fn same(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_lowercase()
}

/// The name servers while a case runs.
pub(crate) struct Scripted {
    script: DnsScript,
    asked: Mutex<BTreeSet<(&'static str, String)>>,
    strayed: Strayed,
}

impl Scripted {
    pub(crate) fn new(script: DnsScript, strayed: &Strayed) -> Arc<Self> {
        Arc::new(Self { script, asked: Mutex::default(), strayed: strayed.clone() })
    }

    /// Notes what was never asked.
    pub(crate) fn finish(&self) {
        let asked = lock(&self.asked);
        for question in self.script.0.keys().filter(|question| !asked.contains(question)) {
            let (kind, name) = question;
            self.strayed.note(format!("dns.{kind}: {name:?} is in the script and was never asked"));
        }
    }

    fn answer(&self, kind: &'static str, name: &str) -> Result<Vec<String>, DnsError> {
        let question = (kind, same(name));
        let answer = self.script.0.get(&question).cloned().unwrap_or_else(|| {
            self.strayed.note(format!("dns.{kind}: {name:?} was asked and is not in the script"));
            Ok(Vec::new())
        });
        lock(&self.asked).insert(question);
        answer
    }
}

impl Dns for Scripted {
    fn addresses<'a>(&'a self, name: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { self.answer(ADDRESSES, name) })
    }

    fn texts<'a>(&'a self, name: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { self.answer(TEXTS, name) })
    }

    fn mail_exchangers<'a>(
        &'a self,
        name: &'a str,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Vec<MailExchanger>, DnsError>> {
        Box::pin(async move {
            let mut exchangers: Vec<_> =
                self.answer(MAIL_EXCHANGERS, name)?.iter().filter_map(|record| exchanger(record)).collect();
            exchangers.sort_by_key(|exchanger| exchanger.preference);
            Ok(exchangers)
        })
    }

    fn names<'a>(&'a self, address: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { self.answer(NAMES, address) })
    }
}
