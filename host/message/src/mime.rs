//! The MIME tree.
use crate::headers::Headers;
use bytes::Bytes;
/// Tree.
#[derive(Debug, Clone)]
pub struct Tree {}
impl Tree {
    /// Parses.
    #[must_use]
    pub fn parse(_headers: &Headers, _body: &Bytes) -> Self {
        Self {}
    }
}
