//! Gathers a message while the MTA sends it.
//!
//! What can not be kept decides what becomes of the message: past a size it is refused for good (552), without room for
//! it for now (452). That is an answer to the client, not an error of the session; the MTA still gets to send all of it.

use crate::settings::Settings;
use bytes::Bytes;
use wasmilter_message::{
    body::{BodyStore, BodyWriter},
    decision::{Reply, Verdict},
    envelope::Mailbox,
    headers::Field,
    message::{ReceivedMessage, Transaction},
};

/// What each field and recipient is counted as on top of its bytes, so that a million empty ones are not free.
const OVERHEAD: u64 = 64;

/// A whole message as the door would take it from an MTA, for who has one already: with the same limits, its body
/// in `store`.
///
/// # Errors
/// The verdict that the door gives in place of a judgement: the message is larger than `settings` allow, or could not be kept.
pub fn receive(
    transaction: Transaction,
    headers: Vec<Field>,
    body: &[u8],
    store: &dyn BodyStore,
    settings: &Settings,
) -> Result<ReceivedMessage, Verdict> {
    let mut collected = Collected::default();
    collected.sender(transaction.envelope.sender.clone());
    for recipient in &transaction.envelope.recipients {
        collected.recipient(recipient.clone(), settings);
    }
    for field in headers {
        collected.header(field, true, settings);
    }
    collected.body(body, store, settings);
    collected.finish(transaction)
}

/// The message so far.
#[derive(Default)]
pub(crate) struct Collected {
    sender: Mailbox,
    recipients: Vec<Mailbox>,
    headers: Vec<Field>,
    body: Option<Box<dyn BodyWriter>>,
    /// Bytes of the message so far.
    size: u64,
    /// Bytes of envelope and header fields with their overhead.
    header_size: u64,
    /// What happens to the message without being judged.
    instead: Option<Verdict>,
}

impl Collected {
    pub(crate) fn sender(&mut self, sender: Mailbox) {
        self.sender = sender;
    }

    pub(crate) fn recipient(&mut self, recipient: Mailbox, settings: &Settings) {
        let size = recipient.raw.len().saturating_add(recipient.arguments.iter().map(String::len).sum());
        if self.header_grows(size as u64, settings) {
            self.recipients.push(recipient);
        }
    }

    /// Takes a field as the MTA sent it: lines folded by LF, and, unless `leading_space`, without the space that
    /// usually follows the colon.
    pub(crate) fn header(&mut self, field: Field, leading_space: bool, settings: &Settings) {
        let field = Field { value: raw_value(field.value, leading_space), ..field };
        self.grows(field.size(), settings);
        if self.header_grows(field.size(), settings) && self.instead.is_none() {
            self.headers.push(field);
        }
    }

    pub(crate) fn body(&mut self, chunk: &[u8], store: &dyn BodyStore, settings: &Settings) {
        self.grows(chunk.len() as u64, settings);
        if self.instead.is_some() || chunk.is_empty() {
            return;
        }
        if let Err(error) = self.body.get_or_insert_with(|| store.start()).write(chunk) {
            self.no_room(&error);
        }
    }

    /// Whether more of the body is of no use.
    pub(crate) fn is_decided(&self) -> bool {
        self.instead.is_some()
    }

    /// The envelope so far.
    pub(crate) fn envelope(&self) -> (&Mailbox, &[Mailbox]) {
        (&self.sender, &self.recipients)
    }

    /// The whole message.
    ///
    /// # Errors
    /// The verdict, when it could not be kept.
    pub(crate) fn finish(mut self, mut transaction: Transaction) -> Result<ReceivedMessage, Verdict> {
        let body = match self.body.take().map(BodyWriter::finish) {
            None => Bytes::new(),
            Some(Ok(body)) => body,
            Some(Err(error)) => {
                self.no_room(&error);
                Bytes::new()
            }
        };
        if let Some(verdict) = self.instead {
            return Err(verdict);
        }
        transaction.envelope.sender = self.sender;
        transaction.envelope.recipients = self.recipients;
        Ok(ReceivedMessage { transaction, headers: self.headers, body })
    }

    fn grows(&mut self, by: u64, settings: &Settings) {
        // The empty line between header and body counts too.
        self.size = self.size.saturating_add(by);
        if self.size.saturating_add(2) > settings.message_size {
            self.too_large(format!("Message is larger than {} bytes", settings.message_size));
        }
    }

    fn header_grows(&mut self, by: u64, settings: &Settings) -> bool {
        self.header_size = self.header_size.saturating_add(by).saturating_add(OVERHEAD);
        let fits = self.header_size <= settings.header_size;
        if !fits {
            self.too_large("Message header is too large".to_owned());
        }
        fits
    }

    fn too_large(&mut self, text: String) {
        let reply = Reply { code: 552, enhanced: "5.3.4".to_owned(), text };
        self.instead.get_or_insert(Verdict::Reject(reply));
        self.body = None;
    }

    fn no_room(&mut self, error: &std::io::Error) {
        tracing::error!(%error, size = self.size, "could not keep a message's body");
        let reply = Reply { code: 452, enhanced: "4.3.1".to_owned(), text: "Insufficient storage".to_owned() };
        self.instead.get_or_insert(Verdict::Tempfail(reply));
        self.body = None;
    }
}

/// A value as it stands in the message. Without leading space nobody can know whether a space followed the colon; nearly
/// always one did, unless the value goes on with a tab or on the next line.
fn raw_value(sent: Bytes, leading_space: bool) -> Bytes {
    let space = !leading_space && !matches!(sent.first(), None | Some(b'\t' | b'\r' | b'\n'));
    if !space && !sent.contains(&b'\n') {
        return sent;
    }
    let mut raw = Vec::with_capacity(sent.len().saturating_add(8));
    if space {
        raw.push(b' ');
    }
    let mut previous = 0;
    for byte in sent {
        if byte == b'\n' && previous != b'\r' {
            raw.push(b'\r');
        }
        raw.push(byte);
        previous = byte;
    }
    raw.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmilter_message::body::InMemory;

    fn settings(message_size: u64, header_size: u64) -> Settings {
        Settings { message_size, header_size, ..Settings::default() }
    }

    #[test]
    fn values_as_they_stand_in_the_message() {
        for (sent, leading_space, raw) in [
            (" hello", true, " hello"),
            ("hello", true, "hello"),
            ("hello", false, " hello"),
            (" hello", false, "  hello"),
            ("\thello", false, "\thello"),
            ("", false, ""),
            ("\n folded", false, "\r\n folded"),
            (" a\n\tb\n c", true, " a\r\n\tb\r\n c"),
            ("a\r\n\tb", false, " a\r\n\tb"),
        ] {
            assert_eq!(raw_value(sent.into(), leading_space), raw, "{sent:?}");
        }
    }

    #[test]
    fn a_message_of_exactly_the_limit_passes() {
        // 4 + "X:\r\n" is counted by Field::size: name 1, value 3, 3 more.
        for (limit, passes) in [(7 + 2 + 10, true), (7 + 2 + 9, false)] {
            let settings = settings(limit, 1000);
            let mut collected = Collected::default();
            collected.header(Field::new("X", " ab"), true, &settings);
            collected.body(b"12345", &InMemory, &settings);
            collected.body(b"67890", &InMemory, &settings);
            assert_eq!(collected.is_decided(), !passes);
            match collected.finish(Transaction::default()) {
                Ok(message) => assert!(passes && message.body == "1234567890"),
                Err(verdict) => {
                    let Verdict::Reject(reply) = verdict else { panic!("{verdict:?}") };
                    assert!(!passes);
                    assert_eq!((reply.code, reply.text.as_str()), (552, "Message is larger than 18 bytes"));
                }
            }
        }
    }

    #[test]
    fn endless_fields_and_recipients_are_cut() {
        let settings = settings(1_000_000, 10_000);
        let mut collected = Collected::default();
        for _ in 0..100_000 {
            collected.recipient(Mailbox::new("<a@x>"), &settings);
            collected.header(Field::new("X", ""), true, &settings);
        }
        assert!(collected.recipients.len() + collected.headers.len() < 10_000 / 64);
        assert!(collected.finish(Transaction::default()).is_err());
    }

    struct FullDisk;

    impl BodyStore for FullDisk {
        fn start(&self) -> Box<dyn BodyWriter> {
            Box::new(FullWriter)
        }
    }

    struct FullWriter;

    impl BodyWriter for FullWriter {
        fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn len(&self) -> u64 {
            0
        }

        fn finish(self: Box<Self>) -> std::io::Result<Bytes> {
            Ok(Bytes::new())
        }
    }

    #[test]
    fn a_full_disk_is_a_temporary_failure() {
        let settings = Settings::default();
        let mut collected = Collected::default();
        collected.body(b"body", &FullDisk, &settings);
        let verdict = collected.finish(Transaction::default()).unwrap_err();
        let Verdict::Tempfail(reply) = verdict else { panic!("{verdict:?}") };
        assert_eq!((reply.code, reply.enhanced.as_str()), (452, "4.3.1"));
    }
}
