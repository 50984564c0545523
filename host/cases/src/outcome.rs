//! What a plugin said in a case.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wasmilter_wasm::Problem;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The plugin refused its configuration.
    Problems(Vec<Problem>),
    /// The plugin could not be used: grants that it needs, hooks that it does not have, configuring failed.
    Unusable(String),
    /// It was called.
    Said {
        /// By call of the case, and in it by time (`times`).
        calls: Vec<Vec<Said>>,
        /// What the store has after the last call.
        store: Contents,
        /// Where the plugin left the case's script of services and DNS.
        strayed: Vec<String>,
    },
}

/// What a plugin said to one call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Said {
    /// `next`, `accept`, …; `failure` when there was no decision, or one that was refused.
    pub verdict: String,
    /// The reply's code; 0 when it has none.
    pub code: u16,
    /// The reply's text, the reason for quarantine, or the failure's detail.
    pub reply: String,
    /// The failure's cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Edits, each in one line ([`crate::edit_line()`]).
    pub edits: Vec<String>,
    /// Facts by their short names.
    pub facts: BTreeMap<String, Value>,
}

/// What a store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Values.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Counters.
    pub counters: BTreeMap<String, u32>,
}

/// Values that are text as text, others as `{ "base64": … }`.
impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values: BTreeMap<_, _> = self.values.iter().map(|(key, value)| (key, shown(value))).collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("values", &values)?;
        map.serialize_entry("counters", &self.counters)?;
        map.end()
    }
}

/// A value of a store as JSON.
pub(crate) fn shown(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": base64(value) }),
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
