//! What a stage says about a message. Mirrors `wit/policy.wit`, which is its reference manual.

use crate::facts::Fact;
use bytes::Bytes;
use serde::Serialize;
use std::net::IpAddr;

/// Verdict, edits and facts of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What should happen.
    pub verdict: Verdict,
    /// Changes, in order.
    pub edits: Vec<Edit>,
    /// Published values.
    pub facts: Vec<Fact>,
}

impl Decision {
    /// A decision that changes nothing.
    #[must_use]
    pub fn verdict(verdict: Verdict) -> Self {
        Self { verdict, edits: Vec::new(), facts: Vec::new() }
    }
}

/// What should happen to the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Verdict {
    /// Go on with the next stage.
    Next,
    /// Deliver; later stages do not run.
    Accept,
    /// Refuse for good.
    Reject(Reply),
    /// Refuse for now.
    Tempfail(Reply),
    /// Answer 250, deliver to nobody.
    Discard,
    /// Hold back.
    Quarantine {
        /// For the administrator.
        reason: String,
    },
}

impl Verdict {
    /// Its name in metrics, logs and JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Accept => "accept",
            Self::Reject(_) => "reject",
            Self::Tempfail(_) => "tempfail",
            Self::Discard => "discard",
            Self::Quarantine { .. } => "quarantine",
        }
    }
}

/// What the SMTP client is told with a rejection. Empty fields stand for the default of the verdict:
/// `550 5.7.1 …`, `451 4.7.1 …`. Checked by [`Reply::check`] before it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// 400–599; 0 for the default.
    pub code: u16,
    /// Enhanced status code (RFC 3463) such as `5.7.1`; empty for the default.
    pub enhanced: String,
    /// Lines separated by LF; empty for the default.
    pub text: String,
}

impl Reply {
    /// A reply with default codes.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Checks the reply against the class of its verdict, '5' or '4'.
    ///
    /// # Errors
    /// What is wrong, in words for the plugin's author.
    pub fn check(&self, class: char) -> Result<(), String> {
        let digit = u16::from(class == '5') + 4;
        if self.code != 0 && self.code / 100 != digit {
            return Err(format!("reply code must be {digit}00 to {digit}99, is {}", self.code));
        }
        if !self.enhanced.is_empty() {
            let mut fields = self.enhanced.split('.');
            let valid = fields.next() == Some(if class == '5' { "5" } else { "4" })
                && fields.clone().count() == 2
                && fields.all(|f| (1..=3).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
            if !valid {
                return Err(format!("enhanced status code must be {class}.n.n, is {:?}", self.enhanced));
            }
        }
        if self.text.bytes().any(|b| b == 0 || b == b'\r') {
            return Err("reply text must not contain CR or NUL".to_owned());
        }
        Ok(())
    }
}

/// One change to the message.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds a field below all others.
    AddHeader(NewHeader),
    /// Inserts a field above all others; of several, the first ends on top.
    InsertHeader(NewHeader),
    /// Replaces the value of one occurrence, counted from 1 as the stage saw the message.
    ReplaceHeader {
        /// Field name, any case.
        name: String,
        /// From 1.
        occurrence: u32,
        /// New value.
        value: String,
    },
    /// Removes one occurrence, or all with 0.
    RemoveHeader {
        /// Field name, any case.
        name: String,
        /// From 1; 0 for all.
        occurrence: u32,
    },
    /// Sets the subject; text as people read it.
    SetSubject(String),
    /// Replaces a part and everything below it.
    ReplacePart {
        /// Part id as the stage saw the message.
        part: u32,
        /// What comes in its place.
        with: NewPart,
    },
    /// Removes a part and everything below it.
    RemovePart(u32),
    /// Adds a part at the end.
    AddPart(NewPart),
    /// Puts text after what people read.
    AppendText(Annotation),
    /// Puts text before what people read.
    PrependText(Annotation),
    /// Replaces the content as a whole.
    ReplaceContent {
        /// `MIME-Version` and `Content-*` fields.
        headers: Vec<NewHeader>,
        /// Body, encoded, lines ended by CRLF.
        body: Bytes,
    },
    /// Changes the envelope sender.
    SetSender(NewAddress),
    /// Adds a recipient.
    AddRecipient(NewAddress),
    /// Removes a recipient.
    RemoveRecipient(String),
    /// Sets the client for later stages.
    SetClient(NewClient),
}

/// A header field to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewHeader {
    /// Field name.
    pub name: String,
    /// Value without the leading space.
    pub value: String,
}

/// A part to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPart {
    /// Media type with parameters.
    pub media_type: String,
    /// Empty for none.
    pub file_name: String,
    /// `inline` or `attachment`; empty: `attachment` with a file name, otherwise none is written.
    pub disposition: String,
    /// Content-ID without angle brackets; empty for none.
    pub content_id: String,
    /// Decoded content.
    pub content: Bytes,
}

/// Text to put before or after what people read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotation {
    /// For text/plain parts; empty to leave them alone.
    pub plain: String,
    /// For text/html parts; empty to leave them alone.
    pub html: String,
}

/// An address to write into the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewAddress {
    /// Without angle brackets; empty for the null sender.
    pub address: String,
    /// ESMTP arguments.
    pub arguments: Vec<String>,
}

/// The client as found behind trusted relays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewClient {
    /// Address.
    pub address: IpAddr,
    /// None: not known.
    pub port: Option<u16>,
    /// None: not known.
    pub hostname: Option<String>,
    /// None: not known.
    pub helo: Option<String>,
}

impl Edit {
    /// Every name of an edit, for tables and metrics.
    pub const NAMES: [&str; 15] = [
        "add-header",
        "insert-header",
        "replace-header",
        "remove-header",
        "set-subject",
        "replace-part",
        "remove-part",
        "add-part",
        "append-text",
        "prepend-text",
        "replace-content",
        "set-sender",
        "add-recipient",
        "remove-recipient",
        "set-client",
    ];

    /// Its name in the explanation and in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AddHeader(_) => "add-header",
            Self::InsertHeader(_) => "insert-header",
            Self::ReplaceHeader { .. } => "replace-header",
            Self::RemoveHeader { .. } => "remove-header",
            Self::SetSubject(_) => "set-subject",
            Self::ReplacePart { .. } => "replace-part",
            Self::RemovePart(_) => "remove-part",
            Self::AddPart(_) => "add-part",
            Self::AppendText(_) => "append-text",
            Self::PrependText(_) => "prepend-text",
            Self::ReplaceContent { .. } => "replace-content",
            Self::SetSender(_) => "set-sender",
            Self::AddRecipient(_) => "add-recipient",
            Self::RemoveRecipient(_) => "remove-recipient",
            Self::SetClient(_) => "set-client",
        }
    }

    /// Bytes of new content that it brings along.
    #[must_use]
    pub fn content_len(&self) -> usize {
        match self {
            Self::ReplacePart { with: part, .. } | Self::AddPart(part) => part.content.len(),
            Self::AppendText(text) | Self::PrependText(text) => text.plain.len().saturating_add(text.html.len()),
            Self::ReplaceContent { body, .. } => body.len(),
            _ => 0,
        }
    }
}

/// What an envelope hook says.
#[derive(Debug, Clone, PartialEq)]
pub struct HookDecision {
    /// What should happen.
    pub verdict: HookVerdict,
    /// Published values.
    pub facts: Vec<Fact>,
}

/// What an envelope hook may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookVerdict {
    /// Go on.
    Next,
    /// Refuse for good.
    Reject(Reply),
    /// Refuse for now.
    Tempfail(Reply),
}
