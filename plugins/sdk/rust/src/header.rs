//! Names and values of header fields that a plugin writes.

use crate::invalid::{Invalid, cut};
use data_encoding::BASE64;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::{borrow::Cow, fmt};

/// The host takes no longer names.
const LONGEST_NAME: usize = 200;
/// The host takes no longer values.
const LONGEST_VALUE: usize = 60_000;
/// RFC 2047 §2: an encoded word has at most 75 characters, of which `=?UTF-8?B??=` are 12; 45 bytes make 60 of base64.
const WORD: usize = 45;

/// Name of a header field to write (RFC 5322 §3.6.8: printable US-ASCII without colon). `MIME-Version` and `Content-*`
/// describe the content and belong to an [`Entity`](crate::Entity): they are no names of this kind.
///
/// In a configuration it is a string; one that is no name is a problem at its place.
///
/// ```
/// use wasmilter_sdk::HeaderName;
/// const SCORE: HeaderName = HeaderName::from_static("X-Spam-Score");
/// assert!(HeaderName::new("X Spam").is_err() && HeaderName::new("Content-Type").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    /// A name that is known when the plugin is written. In a `const` a bad one does not compile.
    ///
    /// # Panics
    /// When it is no name.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_name(name.as_bytes()), "not the name of a header field");
        Self(Cow::Borrowed(name))
    }

    /// A name that comes from elsewhere.
    ///
    /// # Errors
    /// When it is no name.
    pub fn new(name: impl Into<String>) -> Result<Self, Invalid> {
        let name = name.into();
        if is_content_field(name.as_bytes()) {
            return Err(Invalid::new(format!("{name:?} describes the content and can not be written by itself")));
        }
        if !is_name(name.as_bytes()) {
            return Err(Invalid::new(format!("must be the name of a header field, is {name:?}")));
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        Self::new(name)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for HeaderName {
    fn schema_name() -> Cow<'static, str> {
        "HeaderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[!-9;-~]{1,200}$" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[allow(clippy::indexing_slicing, reason = "a const fn has no iterators; the index is below the length")]
const fn is_name(name: &[u8]) -> bool {
    let mut index: usize = 0;
    while index < name.len() {
        if !name[index].is_ascii_graphic() || name[index] == b':' {
            return false;
        }
        index = index.saturating_add(1);
    }
    !name.is_empty() && name.len() <= LONGEST_NAME && !is_content_field(name)
}

/// `MIME-Version` and `Content-*`.
pub(crate) const fn is_content_field(name: &[u8]) -> bool {
    let mime = name.eq_ignore_ascii_case(b"MIME-Version");
    match name.split_first_chunk::<8>() {
        Some((start, _)) => mime || start.eq_ignore_ascii_case(b"Content-"),
        None => mime,
    }
}

/// What stands after the colon of a header field to write.
///
/// Text becomes one in any case, so `"7.3".into()` and `format!(…).into()` are values, whatever is in them; see
/// [`HeaderValue::text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// Text as people read it. What is not US-ASCII is encoded by RFC 2047, control characters become spaces, and what
    /// is beyond 60 000 bytes is cut off.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut value = if text.is_ascii() { text.trim().to_owned() } else { encoded(&text) };
        cut(&mut value, LONGEST_VALUE);
        Self(value)
    }

    /// A value as it goes out: US-ASCII, lines folded by CRLF or LF and white space.
    ///
    /// # Errors
    /// When it would not be one header field.
    pub fn folded(value: impl Into<String>) -> Result<Self, Invalid> {
        let value = value.into();
        let invalid = |what: &str| Err(Invalid::new(format!("is no value of a header field: {what}")));
        if value.len() > LONGEST_VALUE {
            return invalid("it has more than 60000 bytes");
        }
        if !value.is_ascii() {
            return invalid("it is not US-ASCII");
        }
        let lines: Vec<&str> = value.split('\n').collect();
        let last = lines.len().saturating_sub(1);
        for (number, line) in lines.into_iter().enumerate() {
            let line = if number < last { line.strip_suffix('\r').unwrap_or(line) } else { line };
            if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return invalid("it has a control character");
            }
            if number > 0 && (!line.starts_with([' ', '\t']) || line.trim_ascii().is_empty()) {
                return invalid("a line is not folded by white space and text");
            }
        }
        Ok(Self(value))
    }

    /// The value as it goes out.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

/// RFC 2047 §4.1, in words that hold whole characters (§5), each on a line of its own.
fn encoded(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut end = WORD.min(rest.len());
        while !rest.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let (word, others) = rest.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", BASE64.encode(word.as_bytes())));
        // A cut between words, so that none is broken.
        if words.len() >= LONGEST_VALUE / 80 {
            break;
        }
        rest = others;
    }
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_the_host_s_rules() {
        for good in ["X-A", "Subject", "x!$", &"a".repeat(200)] {
            assert!(HeaderName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:", "é", "a\n", "Content-Type", "mime-version", &"a".repeat(201)] {
            assert!(HeaderName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_text_becomes_a_value_of_one_field() {
        assert_eq!(HeaderValue::text("one\r\nBcc: x\0").as_str(), "one  Bcc: x");
        assert_eq!(HeaderValue::text("café").as_str(), "=?UTF-8?B?Y2Fmw6k=?=");
        let long = HeaderValue::text(&"é".repeat(100_000));
        assert!(HeaderValue::folded(long.as_str()).is_ok(), "still a value");
        assert!(long.as_str().lines().all(|line| line.len() <= 76 && line.ends_with("?=")));
    }

    #[test]
    fn folded_values_stay_one_field() {
        for good in ["", "a", "a\r\n b", "a\n\tb"] {
            assert!(HeaderValue::folded(good).is_ok(), "{good:?}");
        }
        for bad in ["a\r\nb", "a\n", "a\r", "a\rb", "a\r\n \r\n b", "a\0", "é", &"a".repeat(60_001)] {
            assert!(HeaderValue::folded(bad).is_err(), "{bad:?}");
        }
    }
}
