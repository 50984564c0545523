//! Edits: what a stage's decision changes of a message.
//!
//! [`apply`] checks every edit against the message as the stage saw it and applies none unless all are good. What no
//! edit names stays byte for byte: header fields are exchanged one by one, the body is put together from ranges of the
//! old one and the new bytes between them.
//!
//! Edits that meet: of two that set the same thing the later one wins; what lies inside a replaced or removed part is
//! gone with it; text is added to the parts that remain as they were. Of several `prepend-text` the first ends on top.

mod annotate;
mod check;
mod content;
mod envelope;
mod field;
mod html;
mod new_part;
mod subject;

use crate::{body::BodyStore, decision::Edit, headers::Field, message::ParsedMessage, view::is_content_field};

/// Edits in one decision. More is a plugin gone wild.
pub const MAX_EDITS: usize = 1000;

/// Bytes of a field name that an edit writes.
pub const MAX_FIELD_NAME: usize = 200;

/// Bytes of a field value that an edit writes. Postfix shows filters no more than 60 000 of a field, Sendmail fails above
/// 65 535.
pub const MAX_FIELD_VALUE: usize = 60_000;

/// Bytes of all field values that a decision writes together. Sendmail takes no header above 32 kB by default, Postfix
/// none above 100 kB a field.
pub const MAX_FIELD_VALUES: usize = 1 << 20;

/// Bytes of an address or an ESMTP argument that an edit writes. RFC 5321 §4.5.3.1.3 asks for 256.
pub const MAX_ADDRESS: usize = 512;

/// ESMTP arguments of one address.
pub const MAX_ARGUMENTS: usize = 20;

/// Recipients in the envelope after the edits. Postfix takes 1000 at a time by default.
pub const MAX_RECIPIENTS: usize = 10_000;

/// Bytes of a file name or media type that an edit writes.
pub const MAX_PART_NAME: usize = 1000;

/// Bytes of a Content-ID that an edit writes: with name and brackets it stays within a line (RFC 5322 §2.1.1).
pub const MAX_CONTENT_ID: usize = 900;

/// Bytes of new content in all edits of a decision together; text that goes into several parts counts for each.
pub const MAX_NEW_CONTENT: usize = 256 << 20;

/// Bytes of one text that an annotation adds.
pub const MAX_ANNOTATION: usize = 256 << 10;

/// What a stage may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EditGrants {
    /// Header fields. Grant `headers`.
    pub headers: bool,
    /// Parts that are shown as text. Grant `text`.
    pub text: bool,
    /// All other parts. Grant `attachments`.
    pub attachments: bool,
    /// The content as a whole. Grant `raw`.
    pub raw: bool,
    /// Sender and recipients. Grant `recipients`.
    pub recipients: bool,
    /// The client for later stages. Grant `set-client`.
    pub set_client: bool,
}

impl EditGrants {
    /// What either may change.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            headers: self.headers || other.headers,
            text: self.text || other.text,
            attachments: self.attachments || other.attachments,
            raw: self.raw || other.raw,
            recipients: self.recipients || other.recipients,
            set_client: self.set_client || other.set_client,
        }
    }

    /// Whether any of the content may be changed.
    #[must_use]
    pub fn content(self) -> bool {
        self.text || self.attachments || self.raw
    }
}

/// Checks all edits and applies none.
///
/// # Errors
/// [`ApplyError::Refused`].
pub fn check(message: &ParsedMessage, edits: &[Edit], grants: EditGrants) -> Result<(), ApplyError> {
    check::all(message, edits, grants)
}

/// Checks all edits, then applies all.
///
/// # Errors
/// See [`ApplyError`]; nothing is applied then.
pub fn apply(
    message: &ParsedMessage,
    edits: &[Edit],
    grants: EditGrants,
    store: &dyn BodyStore,
) -> Result<ParsedMessage, ApplyError> {
    check::all(message, edits, grants)?;
    let is_content = |field: &&Field| is_content_field(&field.name);
    let mut edited = message.clone();
    edited.envelope = envelope::edited(&message.envelope, edits);
    envelope::set_client(&mut edited, edits);
    let headers = field::edited(&message.headers, edits);
    match content::edited(message, edits, store)? {
        Some(content) => Ok(edited.with_content(field::with_content_fields(headers, content.fields), content.body)),
        None if headers.fields().filter(is_content).eq(message.content_fields()) => {
            // The tree stays valid, with all that has been decoded.
            edited.headers = headers;
            Ok(edited)
        }
        None => Ok(edited.with_content(headers, message.body.clone())),
    }
}

/// Why a decision's edits were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An edit is malformed, names what is not there, or was not granted.
    #[error("edit {number} ({edit}): {reason}")]
    Refused {
        /// Place in the list, from 1.
        number: usize,
        /// Name of the edit.
        edit: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The new body could not be kept.
    #[error("keeping the changed body: {0}")]
    Store(#[from] std::io::Error),
}
