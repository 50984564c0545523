//! Why a value can not be made.

use std::{error, fmt};

/// A text that is not what it should be: not a header name, not an address. The host would refuse a decision with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Lower case, no full stop: fit for [`Problems::take`](crate::Problems::take).
impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl error::Error for Invalid {}

impl From<Invalid> for String {
    fn from(invalid: Invalid) -> Self {
        invalid.0
    }
}

impl From<Invalid> for crate::Failure {
    fn from(invalid: Invalid) -> Self {
        Self::internal(invalid.0)
    }
}

/// A text on one line: control characters become spaces, and what is longer than `most` bytes is cut between characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&mut line, most);
    line
}

/// Cuts `text` to at most `most` bytes, between characters.
pub(crate) fn cut(text: &mut String, most: usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
}
