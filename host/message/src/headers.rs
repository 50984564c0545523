//! The header section of a message (RFC 5322 §2.2), field by field, every byte kept.

use bytes::Bytes;
use std::sync::Arc;

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name as written, without the colon.
    pub name: Bytes,
    /// Everything after the colon, folded lines joined by CRLF and white space, without the CRLF that ends the field.
    pub value: Bytes,
}

impl Field {
    /// A field from its name and raw value.
    #[must_use]
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// Whether the field has that name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Bytes of the field in the message, with colon and CRLF.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.name.len() as u64 + self.value.len() as u64 + 3
    }
}

/// A field and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The field as it is now.
    pub field: Field,
    /// Its place among the received fields, counted from 0; None when a stage added it.
    pub received: Option<u32>,
    /// Whether a stage changed it since it was received.
    pub changed: bool,
}

/// All header fields from the top, each remembering where it comes from: what a door needs to tell its peer the
/// fewest changes. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Arc<Vec<Entry>>);

impl Headers {
    /// Fields as received.
    #[must_use]
    pub fn received(fields: Vec<Field>) -> Self {
        let entry = |(place, field)| Entry { field, received: u32::try_from(place).ok(), changed: false };
        Self(Arc::new(fields.into_iter().enumerate().map(entry).collect()))
    }

    /// All, from the top.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// For changing; copies the list when it is shared.
    pub fn entries_mut(&mut self) -> &mut Vec<Entry> {
        Arc::make_mut(&mut self.0)
    }

    /// All fields, from the top.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.0.iter().map(|entry| &entry.field)
    }

    /// The fields of that name, from the top.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields().filter(move |field| field.is(name))
    }

    /// Bytes of all fields in the message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.fields().map(Field::size).sum()
    }
}
