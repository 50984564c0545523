//! Values that a plugin publishes for later stages.

use crate::{Fact, FactValue};

/// Longest name that the host takes.
const LONGEST_NAME: usize = 64;

/// The fact, or none when the number is not finite.
pub(crate) fn fact(name: &str, value: FactValue) -> Option<Fact> {
    if matches!(value, FactValue::Number(number) if !number.is_finite()) {
        return None;
    }
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut name: String = name.chars().map(legal).take(LONGEST_NAME).collect();
    if name.is_empty() {
        name.push('_');
    }
    Some(Fact { name, value })
}

impl From<bool> for FactValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for FactValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for FactValue {
    fn from(number: u32) -> Self {
        Self::Number(f64::from(number))
    }
}

impl From<i32> for FactValue {
    fn from(number: i32) -> Self {
        Self::Number(f64::from(number))
    }
}

/// Exact up to 2⁵³.
impl From<usize> for FactValue {
    #[allow(clippy::cast_precision_loss, reason = "sizes and counts of a message are far below 2⁵³")]
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl From<&str> for FactValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for FactValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for FactValue {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}
