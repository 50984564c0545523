//! Typed values that stages publish for later stages, conditions, logs and the explanation.

use serde::Serialize;
use std::collections::BTreeMap;

/// Value of a fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A number; never NaN.
    Number(f64),
    /// Text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A fact as its stage names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// Name without the stage: `score`.
    pub name: String,
    /// Value.
    pub value: Value,
}

/// All facts about a message by full name: `spam.score`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Facts(BTreeMap<String, Value>);

impl Facts {
    /// Publishes `fact` in the name of `stage`; a later value of the same name wins.
    pub fn publish(&mut self, stage: &str, fact: &Fact) {
        self.0.insert(format!("{stage}.{}", fact.name), fact.value.clone());
    }

    /// By full name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
