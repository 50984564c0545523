//! The message at hand.

use crate::{
    Address, Mailbox, PartInfo, Session, Transaction,
    bindings::wasmilter::policy::types::HeaderField as RawField,
    decision::Removal,
    source::{LARGEST_READ, Source},
};
use std::{borrow::Borrow, io, ops::Deref};

/// The message that [`decide`](crate::MessagePolicy::decide) judges: a [`Transaction`] with its content. In the host there is
/// exactly one at a time, and this is a handle without content of its own: nothing is copied into the plugin unless asked.
/// In native tests it is a double; see [`testing`](crate::testing).
///
/// A call that was not granted to the stage ends the plugin's call: the failure is `refused`.
pub struct Message {
    pub(crate) transaction: Transaction,
}

impl Message {
    pub(crate) const fn new(source: Source) -> Self {
        Self { transaction: Transaction { session: Session { source } } }
    }

    /// The message that the host speaks of.
    #[cfg(target_family = "wasm")]
    #[doc(hidden)]
    #[must_use]
    pub fn at_hand() -> Self {
        Self::new(Source)
    }

    /// All header fields, from the top. Needs the grant `headers`, as does all that is about them.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderField> {
        numbered(self.source.headers())
    }

    /// How many fields there are of that name (any case).
    #[must_use]
    pub fn header_count(&self, name: &str) -> u32 {
        self.source.header_count(name)
    }

    /// The fields of that name, from the top.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<HeaderField> {
        let fields = self.source.header(name).into_iter().zip(1_u32..);
        fields.map(|(field, occurrence)| HeaderField { field, occurrence }).collect()
    }

    /// The fields of that name, from the top, as people read them: unfolded, trimmed, encoded words decoded.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Vec<String> {
        self.source.header_text(name)
    }

    /// The subject as people read it; empty when there is none. The first, when there are several.
    #[must_use]
    pub fn subject(&self) -> String {
        self.header_text("Subject").into_iter().next().unwrap_or_default()
    }

    /// The mailboxes in all fields of that name; groups flattened.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<Address> {
        self.source.addresses(name)
    }

    /// All parts in order of appearance; the first is the root. Needs one of the grants `text`, `attachments`.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        self.source.parts().into_iter().map(|info| Part { message: self, info }).collect()
    }

    /// Size of the message as bytes. Needs the grant `raw`.
    #[must_use]
    pub fn raw_size(&self) -> u32 {
        self.source.raw_size()
    }

    /// Reads the message as bytes: header fields, empty line, body. Needs the grant `raw`.
    #[must_use]
    pub const fn raw_reader(&self) -> RawReader<'_> {
        RawReader { message: self, offset: 0 }
    }

    /// The entity of the root: what S/MIME and PGP/MIME sign or encrypt. Needs the grant `raw`.
    #[must_use]
    pub const fn entity_reader(&self) -> PartReader<'_> {
        PartReader { message: self, part: 0, entity: true, offset: 0 }
    }

    /// Starts a large content, written in pieces and kept by the host.
    #[must_use]
    pub fn blob(&self) -> Blob<'_> {
        Blob { message: self, id: self.source.create_blob() }
    }
}

impl Deref for Message {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

/// A header field of the message: `name` and raw `value` (it dereferences to the contract's record), and which occurrence of its
/// name it is. Edits take it to name the field.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderField {
    field: RawField,
    occurrence: u32,
}

impl HeaderField {
    /// Counted from 1 at the top among the fields of that name.
    #[must_use]
    pub const fn occurrence(&self) -> u32 {
        self.occurrence
    }

    /// Whether it has that name; upper and lower case are the same.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.field.name.eq_ignore_ascii_case(name)
    }
}

impl Borrow<RawField> for HeaderField {
    fn borrow(&self) -> &RawField {
        &self.field
    }
}

impl Deref for HeaderField {
    type Target = RawField;

    fn deref(&self) -> &RawField {
        &self.field
    }
}

/// A part of the message: what the contract's record says of it (`id`, `parent`, `kind`, `role`, `media_type`, `file_name`, …; it
/// dereferences to that), and its content. Content is read of parts with role `body` with the grant `text`, of all others
/// with `attachments`.
#[derive(Clone)]
pub struct Part<'m> {
    message: &'m Message,
    info: PartInfo,
}

impl<'m> Part<'m> {
    /// Its header fields; for the root those of the message, which needs the grant `headers`.
    #[must_use]
    pub fn header_fields(&self) -> Vec<RawField> {
        self.message.source.part_headers(self.info.id)
    }

    /// Decoded size of a leaf in bytes; 0 for others. Decodes the part.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.message.source.part_size(self.info.id)
    }

    /// Content of a text part as UTF-8; at most `limit` bytes of it.
    #[must_use]
    pub fn text(&self, limit: u32) -> String {
        self.message.source.part_text(self.info.id, limit)
    }

    /// Reads the decoded content of a leaf; nothing of a multipart or message.
    #[must_use]
    pub const fn reader(&self) -> PartReader<'m> {
        PartReader { message: self.message, part: self.info.id, entity: false, offset: 0 }
    }

    /// The same from that byte of the decoded content on.
    #[must_use]
    pub const fn reader_at(&self, offset: u32) -> PartReader<'m> {
        PartReader { message: self.message, part: self.info.id, entity: false, offset }
    }

    /// The first bytes of the decoded content, at most `length` (and at most 65 536).
    #[must_use]
    pub fn start(&self, length: u32) -> Vec<u8> {
        self.message.source.read_part(self.info.id, 0, length)
    }

    /// Reads the part as it stands in the message, header fields included. Needs the grant `raw`.
    #[must_use]
    pub const fn entity_reader(&self) -> PartReader<'m> {
        PartReader { message: self.message, part: self.info.id, entity: true, offset: 0 }
    }
}

impl Deref for Part<'_> {
    type Target = PartInfo;

    fn deref(&self) -> &PartInfo {
        &self.info
    }
}

/// The fields of a message, with the occurrences of their names counted.
fn numbered(fields: Vec<RawField>) -> Vec<HeaderField> {
    let mut fields: Vec<HeaderField> = fields.into_iter().map(|field| HeaderField { field, occurrence: 1 }).collect();
    // Those of one name stand together, in their order.
    let mut by_name: Vec<&mut HeaderField> = fields.iter_mut().collect();
    by_name.sort_by(|one, other| {
        let other = other.name.bytes().map(|byte| byte.to_ascii_lowercase());
        one.name.bytes().map(|byte| byte.to_ascii_lowercase()).cmp(other)
    });
    let mut before: Option<&HeaderField> = None;
    for field in by_name {
        if let Some(before) = before.filter(|before| before.is_named(&field.name)) {
            field.occurrence = before.occurrence.saturating_add(1);
        }
        before = Some(field);
    }
    fields
}

/// Reads a part from its beginning; a call to `read` gives at most 64 KiB.
pub struct PartReader<'m> {
    message: &'m Message,
    part: u32,
    entity: bool,
    offset: u32,
}

impl io::Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &self.message.source;
        read_piece(buffer, &mut self.offset, |offset, length| {
            if self.entity {
                source.read_entity(self.part, offset, length)
            } else {
                source.read_part(self.part, offset, length)
            }
        })
    }
}

/// Reads the raw message from its beginning; a call to `read` gives at most 64 KiB.
pub struct RawReader<'m> {
    message: &'m Message,
    offset: u32,
}

impl io::Read for RawReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &self.message.source;
        read_piece(buffer, &mut self.offset, |offset, length| source.read_raw(offset, length))
    }
}

fn read_piece(buffer: &mut [u8], offset: &mut u32, read: impl Fn(u32, u32) -> Vec<u8>) -> io::Result<usize> {
    let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX).min(LARGEST_READ);
    if length == 0 {
        return Ok(0);
    }
    let copied = copy_into(buffer, &read(*offset, length));
    *offset = offset.saturating_add(u32::try_from(copied).unwrap_or(u32::MAX));
    Ok(copied)
}

/// Copies what fits and says how much that was.
pub(crate) fn copy_into(buffer: &mut [u8], bytes: &[u8]) -> usize {
    let length = bytes.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(..length)) {
        to.copy_from_slice(from);
    }
    length
}

/// Large content for an edit, kept by the host. Write it with [`io::Write`], then give it to a
/// [`NewPart`](crate::NewPart) or an [`Entity`](crate::Entity).
pub struct Blob<'m> {
    message: &'m Message,
    id: u32,
}

impl Blob<'_> {
    /// Appends the entity of a part without moving it through the plugin. Needs the grant `raw`.
    pub fn append_entity(&mut self, part: &Part<'_>) {
        self.message.source.append_entity(self.id, part.id);
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }
}

impl io::Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.message.source.append(self.id, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The recipients of a message; dereferences to a slice of mailboxes.
#[derive(Debug, Clone)]
pub struct Recipients(Vec<Mailbox>);

impl Recipients {
    pub(crate) const fn new(mailboxes: Vec<Mailbox>) -> Self {
        Self(mailboxes)
    }

    /// The recipients that `gone` picks, to be removed by [`Decision::remove_recipients`](crate::Decision::remove_recipients). None
    /// when nobody would be left: discard the message instead.
    #[must_use]
    pub fn removal(&self, gone: impl Fn(&Mailbox) -> bool) -> Option<Removal> {
        let removed: Vec<String> =
            self.0.iter().filter(|mailbox| gone(mailbox)).map(|mailbox| mailbox.address.clone()).collect();
        (removed.len() < self.0.len()).then_some(Removal(removed))
    }
}

impl Deref for Recipients {
    type Target = [Mailbox];

    fn deref(&self) -> &[Mailbox] {
        &self.0
    }
}

impl IntoIterator for Recipients {
    type Item = Mailbox;
    type IntoIter = std::vec::IntoIter<Mailbox>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
