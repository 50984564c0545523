//! Looking into a message: what the interfaces `headers`, `parts` and `raw` of `wit/message.wit` are made of.
//!
//! Ids that do not exist have no content here; a caller that must tell the difference asks [`Tree::part`].

#[cfg(doc)]
use crate::mime::Tree;
use crate::{
    headers::Field,
    message::ParsedMessage,
    mime::{Kind, charset, section, value},
};
use bytes::Bytes;
use std::io::{self, Write};

impl ParsedMessage {
    /// The fields of that name, from the top: unfolded, trimmed, encoded words (RFC 2047) decoded.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Vec<String> {
        self.headers.named(name).map(|field| value::text(&field.value)).collect()
    }

    /// Display name and address of all mailboxes in the fields of that name; groups are flattened.
    #[must_use]
    pub fn header_addresses(&self, name: &str) -> Vec<(String, String)> {
        self.headers.named(name).flat_map(|field| value::addresses(&field.value)).collect()
    }

    /// Header fields of a part; of the root those of the message.
    #[must_use]
    pub fn part_fields(&self, id: u32) -> Vec<Field> {
        if id == 0 {
            return self.headers.fields().cloned().collect();
        }
        let header = self.tree().part(id).and_then(|part| self.body.get(part.header.clone()));
        header.map(|header| section::fields(&self.body.slice_ref(header))).unwrap_or_default()
    }

    /// Decoded content of a leaf, kept once it has been decoded; empty for other parts. Not copied when the part is
    /// not encoded.
    #[must_use]
    pub fn decoded(&self, id: u32) -> Bytes {
        self.tree().decoded(id, &self.body).map(|decoded| decoded.bytes.clone()).unwrap_or_default()
    }

    /// Content of a leaf as UTF-8, decoded from its charset; at most `limit` bytes, cut between characters.
    #[must_use]
    pub fn part_text(&self, id: u32, limit: usize) -> String {
        match self.tree().part(id) {
            Some(part) if part.kind == Kind::Leaf => charset::decode(&self.decoded(id), &part.charset, limit),
            _ => String::new(),
        }
    }

    /// Size of a part's entity in bytes: see [`Self::entity_read`].
    #[must_use]
    pub fn entity_len(&self, id: u32) -> u64 {
        if id == 0 {
            let fields: u64 = self.content_fields().map(Field::size).sum();
            return fields.saturating_add(2).saturating_add(self.body.len() as u64);
        }
        self.tree().part(id).map_or(0, |part| part.entity.len() as u64)
    }

    /// At most `len` bytes of a part's entity from `offset`: header fields, empty line and content as they stand in
    /// the message. Of the root: its `MIME-Version` and `Content-*` fields, an empty line, the body.
    #[must_use]
    pub fn entity_read(&self, id: u32, offset: u64, len: usize) -> Vec<u8> {
        let mut window = Window::new(offset, len);
        if id == 0 {
            window.fields(self.content_fields());
            window.add(b"\r\n");
            window.add(&self.body);
        } else if let Some(entity) = self.tree().part(id).and_then(|part| self.body.get(part.entity.clone())) {
            window.add(entity);
        }
        window.bytes
    }

    /// Size of the message in bytes: header fields, empty line, body.
    #[must_use]
    pub fn raw_size(&self) -> u64 {
        self.size()
    }

    /// At most `len` bytes of the message from `offset`: header fields, empty line, body. Nothing else is copied.
    #[must_use]
    pub fn raw_read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut window = Window::new(offset, len);
        window.fields(self.headers.fields());
        window.add(b"\r\n");
        window.add(&self.body);
        window.bytes
    }

    /// Writes the message as a file: header fields, empty line, body.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        for field in self.headers.fields() {
            for piece in pieces(field) {
                out.write_all(piece)?;
            }
        }
        out.write_all(b"\r\n")?;
        out.write_all(&self.body)
    }

    /// The fields that belong to the message's content.
    pub(crate) fn content_fields(&self) -> impl Iterator<Item = &Field> {
        self.headers.fields().filter(|field| is_content_field(&field.name))
    }
}

/// Whether a field describes the content: `MIME-Version` and `Content-*`.
pub(crate) fn is_content_field(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"MIME-Version")
        || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Content-"))
}

fn pieces(field: &Field) -> [&[u8]; 4] {
    [&field.name, b":", &field.value, b"\r\n"]
}

/// A part of a sequence of bytes that is never put together.
struct Window {
    /// How many bytes to pass over.
    skip: u64,
    /// How many bytes are still wanted.
    wanted: usize,
    bytes: Vec<u8>,
}

impl Window {
    fn new(offset: u64, len: usize) -> Self {
        Self { skip: offset, wanted: len, bytes: Vec::new() }
    }

    fn fields<'a>(&mut self, fields: impl Iterator<Item = &'a Field>) {
        for field in fields {
            if self.skip >= field.size() {
                self.skip = self.skip.saturating_sub(field.size());
                continue;
            }
            for piece in pieces(field) {
                self.add(piece);
            }
            if self.wanted == 0 {
                return;
            }
        }
    }

    fn add(&mut self, piece: &[u8]) {
        let size = piece.len() as u64;
        let Ok(start) = usize::try_from(self.skip.min(size)) else { return };
        self.skip = self.skip.saturating_sub(size);
        let rest = piece.get(start..).unwrap_or_default();
        let taken = rest.get(..self.wanted).unwrap_or(rest);
        self.bytes.extend_from_slice(taken);
        self.wanted = self.wanted.saturating_sub(taken.len());
    }
}
