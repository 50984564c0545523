//! `transaction.toml` as it is written.

use crate::source::Short;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Spanned, Table, Value};

/// The file, and each `[[call]]` in it: a call has fewer keys ([`Keys::not_of_a_call`]), the file has not all of a call's
/// ([`Keys::of_a_call_only`]).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keys {
    pub(crate) ask: Option<Spanned<String>>,
    pub(crate) message: Option<Spanned<String>>,
    pub(crate) client: Option<Spanned<String>>,
    pub(crate) client_port: Option<u16>,
    pub(crate) client_name: Option<String>,
    pub(crate) helo: Option<String>,
    pub(crate) auth: Option<String>,
    pub(crate) auth_mechanism: Option<String>,
    pub(crate) tls: Option<String>,
    pub(crate) tls_cipher: Option<String>,
    pub(crate) listener: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) rcpt: Option<Spanned<Vec<String>>>,
    pub(crate) queue_id: Option<String>,
    pub(crate) facts: Option<BTreeMap<String, Spanned<Value>>>,

    pub(crate) now: Option<Spanned<Value>>,
    pub(crate) grants: Option<Vec<Spanned<String>>>,
    pub(crate) config: Option<Spanned<Table>>,
    pub(crate) services: Option<Spanned<BTreeMap<String, ServiceKeys>>>,
    pub(crate) dns: Option<Spanned<DnsKeys>>,
    pub(crate) store: Option<Spanned<StoreKeys>>,
    pub(crate) call: Option<Spanned<Vec<Keys>>>,

    pub(crate) after: Option<Spanned<f64>>,
    pub(crate) times: Option<Spanned<u32>>,
}

impl Keys {
    /// The place of a key that only the file as a whole may have.
    pub(crate) fn not_of_a_call(&self) -> Option<(&'static str, std::ops::Range<usize>)> {
        fn span<T>(value: &Option<Spanned<T>>) -> Option<std::ops::Range<usize>> {
            value.as_ref().map(Spanned::span)
        }
        let grants = self.grants.as_ref().map(|grants| grants.first().map(Spanned::span).unwrap_or_default());
        [
            ("now", span(&self.now)),
            ("grants", grants),
            ("config", span(&self.config)),
            ("services", span(&self.services)),
            ("dns", span(&self.dns)),
            ("store", span(&self.store)),
            ("call", span(&self.call)),
        ]
        .into_iter()
        .find_map(|(name, span)| Some((name, span?)))
    }

    /// The place of a key that only a call may have.
    pub(crate) fn of_a_call_only(&self) -> Option<(&'static str, std::ops::Range<usize>)> {
        let after = self.after.as_ref().map(|value| ("after", value.span()));
        after.or_else(|| self.times.as_ref().map(|value| ("times", value.span())))
    }
}

/// A service: what it answers to everybody, or each of its streams.
pub(crate) type ServiceKeys = Short<String, Vec<Spanned<StreamKeys>>>;

/// One `[[services.NAME]]`: a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamKeys {
    pub(crate) sent: Option<String>,
    pub(crate) sent_file: Option<Spanned<String>>,
    pub(crate) has: Option<Vec<String>>,
    pub(crate) answer: Option<String>,
    pub(crate) answer_file: Option<Spanned<String>>,
    pub(crate) fails: Option<Spanned<String>>,
    pub(crate) steps: Option<Vec<Spanned<StepKeys>>>,
}

/// One step of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StepKeys {
    pub(crate) sent: Option<String>,
    pub(crate) sent_file: Option<Spanned<String>>,
    pub(crate) has: Option<Vec<String>>,
    pub(crate) answer: Option<String>,
    pub(crate) answer_file: Option<Spanned<String>>,
}

/// `[dns]`: answers by name, or the name of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DnsKeys {
    pub(crate) addresses: Answers,
    pub(crate) texts: Answers,
    pub(crate) mail_exchangers: Answers,
    pub(crate) names: Answers,
}

pub(crate) type Answers = BTreeMap<String, Spanned<Short<String, Vec<String>>>>;

/// `[store]`, before or after.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreKeys {
    pub(crate) values: BTreeMap<String, Spanned<Short<String, ValueKeys>>>,
    pub(crate) counters: BTreeMap<String, Spanned<Short<u32, CounterKeys>>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ValueKeys {
    pub(crate) value: Option<String>,
    pub(crate) base64: Option<String>,
    pub(crate) seconds: Option<u32>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CounterKeys {
    pub(crate) value: u32,
    pub(crate) seconds: Option<u32>,
}
