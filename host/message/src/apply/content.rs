//! Edits of the content.
use super::ApplyError;
use crate::{body::BodyStore, decision::Edit, headers::Field, message::ParsedMessage};
use bytes::Bytes;

/// New content of a message.
pub(super) struct Content {
    /// All its `MIME-Version` and `Content-*` fields.
    pub(super) fields: Vec<Field>,
    pub(super) body: Bytes,
}

/// The content after the edits; None when it stays as it is.
pub(super) fn edited(
    message: &ParsedMessage,
    edits: &[Edit],
    store: &dyn BodyStore,
) -> Result<Option<Content>, ApplyError> {
    let _ = (message, store);
    for edit in edits {
        if let Edit::ReplaceContent { headers, body } = edit {
            let field =
                |header: &crate::decision::NewHeader| Field::new(header.name.clone(), super::field::raw(&header.value));
            return Ok(Some(Content { fields: headers.iter().map(field).collect(), body: body.clone() }));
        }
    }
    Ok(None)
}
