//! Building decisions.
//!
//! ```
//! use wasmilter_sdk::Decision;
//! let decision = Decision::next().remove_header("X-Spam-Score").add_header("X-Spam-Score", "7.3").with_fact("score", 7.3);
//! assert_eq!(decision.edits.len(), 2);
//! ```

use crate::{
    Content, Decision, Edit, Fact, FactValue, HeaderOccurrence, HeaderReplacement, NewAddress, NewHeader, NewPart,
    PartReplacement, Reply, Verdict,
};

impl Decision {
    /// A decision that says nothing but its verdict.
    #[must_use]
    pub fn verdict(verdict: Verdict) -> Self {
        Self { verdict, edits: Vec::new(), facts: Vec::new() }
    }

    /// Go on with the next stage.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "a constructor named like the verdict, not an iterator's method")]
    pub fn next() -> Self {
        Self::verdict(Verdict::Next)
    }

    /// Deliver; later stages do not run.
    #[must_use]
    pub fn accept() -> Self {
        Self::verdict(Verdict::Accept)
    }

    /// Refuse for good.
    #[must_use]
    pub fn reject(reply: impl Into<Reply>) -> Self {
        Self::verdict(Verdict::Reject(reply.into()))
    }

    /// Refuse for now.
    #[must_use]
    pub fn tempfail(reply: impl Into<Reply>) -> Self {
        Self::verdict(Verdict::Tempfail(reply.into()))
    }

    /// Answer 250, deliver to nobody.
    #[must_use]
    pub fn discard() -> Self {
        Self::verdict(Verdict::Discard)
    }

    /// Hold back; the reason (at most 100 characters) is for the administrator.
    #[must_use]
    pub fn quarantine(reason: impl Into<String>) -> Self {
        Self::verdict(Verdict::Quarantine(reason.into()))
    }

    /// The same decision with another verdict.
    #[must_use]
    pub fn with_verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Publishes a fact: `true`, `7.3`, `"text"` or a `Vec<String>`. Name: lower case letters, digits, `_`.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: impl Into<FactValue>) -> Self {
        self.facts.push(Fact { name: name.to_owned(), value: value.into() });
        self
    }

    /// Any edit.
    #[must_use]
    pub fn with_edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Adds a header field below all others. `value` without the leading space; may be folded.
    #[must_use]
    pub fn add_header(self, name: &str, value: impl Into<String>) -> Self {
        self.with_edit(Edit::AddHeader(NewHeader { name: name.to_owned(), value: value.into() }))
    }

    /// Inserts a header field above all others; of several, the first ends on top.
    #[must_use]
    pub fn insert_header(self, name: &str, value: impl Into<String>) -> Self {
        self.with_edit(Edit::InsertHeader(NewHeader { name: name.to_owned(), value: value.into() }))
    }

    /// Replaces the value of one occurrence, counted from 1.
    #[must_use]
    pub fn replace_header(self, name: &str, occurrence: u32, value: impl Into<String>) -> Self {
        self.with_edit(Edit::ReplaceHeader(HeaderReplacement {
            name: name.to_owned(),
            occurrence,
            value: value.into(),
        }))
    }

    /// Removes every field of that name.
    #[must_use]
    pub fn remove_header(self, name: &str) -> Self {
        self.with_edit(Edit::RemoveHeader(HeaderOccurrence { name: name.to_owned(), occurrence: 0 }))
    }

    /// Sets the subject, as people read it.
    #[must_use]
    pub fn set_subject(self, subject: impl Into<String>) -> Self {
        self.with_edit(Edit::SetSubject(subject.into()))
    }

    /// Replaces a part and everything below it by a text.
    #[must_use]
    pub fn replace_part_by_text(self, part: u32, text: impl Into<String>) -> Self {
        let replacement = NewPart {
            media_type: "text/plain".to_owned(),
            file_name: String::new(),
            disposition: String::new(),
            content_id: String::new(),
            content: Content::Inline(text.into().into_bytes()),
        };
        self.with_edit(Edit::ReplacePart(PartReplacement { part, replacement }))
    }

    /// Removes a part and everything below it.
    #[must_use]
    pub fn remove_part(self, part: u32) -> Self {
        self.with_edit(Edit::RemovePart(part))
    }

    /// Adds a recipient.
    #[must_use]
    pub fn add_recipient(self, address: impl Into<String>) -> Self {
        self.with_edit(Edit::AddRecipient(NewAddress { address: address.into(), arguments: Vec::new() }))
    }

    /// Removes a recipient, named as in [`Message::recipients`](crate::Message::recipients).
    #[must_use]
    pub fn remove_recipient(self, address: impl Into<String>) -> Self {
        self.with_edit(Edit::RemoveRecipient(address.into()))
    }
}

/// A reply with the default codes of its verdict.
impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self { code: 0, enhanced: String::new(), text: text.to_owned() }
    }
}

/// A reply with the default codes of its verdict.
impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self { code: 0, enhanced: String::new(), text }
    }
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
