//! The message at hand.

use crate::{
    Address, ClientInfo, Content, FactValue, HeaderField, Mailbox, Part, Service, ServiceError,
    source::{LARGEST_READ, Source},
};
use std::io;

/// The message that `decide` judges. In the host there is exactly one at a time, and this is a handle without content
/// of its own: nothing is copied into the plugin unless asked. In native tests it is a double; see
/// [`testing`](crate::testing).
///
/// Everything that concerns parts and raw content needs the grant `body`.
pub struct Message {
    source: Source,
}

impl Message {
    pub(crate) fn new(source: Source) -> Self {
        Self { source }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }

    /// The message that the host speaks of.
    #[cfg(target_family = "wasm")]
    #[must_use]
    pub fn at_hand() -> Self {
        Self::new(Source)
    }

    /// The client as stages before this one restored it, otherwise the connected one.
    #[must_use]
    pub fn client(&self) -> ClientInfo {
        self.source.client()
    }

    /// The host that is connected to the MTA.
    #[must_use]
    pub fn connected(&self) -> ClientInfo {
        self.source.connected()
    }

    /// The envelope sender.
    #[must_use]
    pub fn sender(&self) -> Mailbox {
        self.source.sender()
    }

    /// The recipients that the MTA accepted.
    #[must_use]
    pub fn recipients(&self) -> Vec<Mailbox> {
        self.source.recipients()
    }

    /// The MTA's queue id; may be empty.
    #[must_use]
    pub fn queue_id(&self) -> String {
        self.source.queue_id()
    }

    /// All header fields, from the top, raw.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderField> {
        self.source.headers()
    }

    /// How many fields there are of that name (any case).
    #[must_use]
    pub fn header_count(&self, name: &str) -> u32 {
        self.source.header_count(name)
    }

    /// The fields of that name, from the top, raw.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<HeaderField> {
        self.source.header(name)
    }

    /// The fields of that name, from the top: unfolded, trimmed, encoded words decoded.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Vec<String> {
        self.source.header_text(name)
    }

    /// The mailboxes in all fields of that name; groups flattened.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<Address> {
        self.source.addresses(name)
    }

    /// All parts in order of appearance; the first is the root.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.source.parts()
    }

    /// Header fields of a part.
    #[must_use]
    pub fn part_headers(&self, part: u32) -> Vec<HeaderField> {
        self.source.part_headers(part)
    }

    /// Decoded size of a leaf in bytes. Decodes the part.
    #[must_use]
    pub fn part_size(&self, part: u32) -> u32 {
        self.source.part_size(part)
    }

    /// Content of a text part as UTF-8; at most `limit` bytes of it.
    #[must_use]
    pub fn part_text(&self, part: u32, limit: u32) -> String {
        self.source.part_text(part, limit)
    }

    /// Reads the decoded content of a leaf; nothing of a multipart or message.
    #[must_use]
    pub fn part_reader(&self, part: u32) -> PartReader<'_> {
        PartReader { message: self, part, entity: false, offset: 0 }
    }

    /// Reads the part's entity as it stands in the message, header fields included; of the root, the entity that
    /// S/MIME and PGP/MIME sign or encrypt.
    #[must_use]
    pub fn entity_reader(&self, part: u32) -> PartReader<'_> {
        PartReader { message: self, part, entity: true, offset: 0 }
    }

    /// Size of the message as bytes.
    #[must_use]
    pub fn raw_size(&self) -> u32 {
        self.source.raw_size()
    }

    /// Reads the message as bytes: header fields, empty line, body.
    #[must_use]
    pub fn raw_reader(&self) -> RawReader<'_> {
        RawReader { message: self, offset: 0 }
    }

    /// What a stage before this one published, by full name such as `spam.score`.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<FactValue> {
        self.source.fact(name)
    }

    /// Opens a stream to a service. Needs the grant `service:NAME`.
    ///
    /// # Errors
    /// When it was not granted or can not be reached.
    pub fn service(&self, name: &str) -> Result<Service<'_>, ServiceError> {
        Service::open(self, name)
    }

    /// Starts a large content, written in pieces. Use [`Blob::content`] in an edit.
    #[must_use]
    pub fn blob(&self) -> Blob<'_> {
        Blob { message: self, id: self.source.create_blob() }
    }

    /// Seconds since 1970-01-01T00:00:00Z. Needs the grant `clock`.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.source.now()
    }

    /// Randomness fit for keys; at most 4096 bytes. Needs the grant `random`.
    #[must_use]
    pub fn random(&self, length: u32) -> Vec<u8> {
        self.source.random(length)
    }
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
        let source = self.message.source();
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
        let source = self.message.source();
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
    for (to, from) in buffer.iter_mut().zip(bytes) {
        *to = *from;
    }
    bytes.len().min(buffer.len())
}

/// Large content for an edit, kept by the host. Write it with [`io::Write`].
pub struct Blob<'m> {
    message: &'m Message,
    id: u32,
}

impl Blob<'_> {
    /// Appends the entity of a part, as [`Message::entity_reader`] gives it, without moving it through the plugin. Needs
    /// the grant `body`.
    pub fn append_entity(&mut self, part: u32) {
        self.message.source().append_entity(self.id, part);
    }

    /// What to put into the edit.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::Blob(self.id)
    }
}

impl io::Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.message.source().append(self.id, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
