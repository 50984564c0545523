//! Testing plugins natively, without a host.
//!
//! [`Message::parse`](crate::Message::parse) makes a message of the bytes of an .eml file; the methods beside it set what
//! surrounds it (client, envelope, facts, services). [`cases`] runs the folders of a plugin's `cases/`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test double: what would be a trap in the host is a panic in the test"
)]

mod cases;

pub use cases::cases;

use crate::{
    ClientInfo, Content, Decision, Edit, FactValue, Failure, Message, Policy, Problems, ServiceError, configuration,
    source::{FakeService, Source, mailbox},
};

/// Configures a plugin from JSON text, as the host does.
///
/// # Errors
/// All problems.
pub fn configure<P: Policy>(config: &str) -> Result<P, Problems> {
    configuration::configure(config)
}

/// Configures a plugin and judges a message.
///
/// # Errors
/// The plugin's failure. Panics when the configuration is refused.
pub fn judge<P: Policy>(config: &str, message: &Message) -> Result<Decision, Failure> {
    match configure::<P>(config) {
        Ok(policy) => policy.decide(message),
        Err(problems) => panic!("configuration refused: {:?}", problems.into_list()),
    }
}

/// The double of a message, to be set up by tests.
impl Message {
    /// From the bytes of an .eml file, from an unauthenticated client 192.0.2.1, `sender@example.net` to
    /// `recipient@example.org`.
    #[must_use]
    pub fn parse(eml: &[u8]) -> Self {
        Self::new(Source::parse(eml))
    }

    /// Changes the client.
    #[must_use]
    pub fn with_client(mut self, change: impl FnOnce(&mut ClientInfo)) -> Self {
        change(&mut self.source_mut().client);
        self
    }

    /// Sets the connected host apart from the client.
    #[must_use]
    pub fn with_connected(mut self, connected: ClientInfo) -> Self {
        self.source_mut().connected = Some(connected);
        self
    }

    /// Sets the envelope sender; empty for the null sender.
    #[must_use]
    pub fn with_sender(mut self, address: &str) -> Self {
        self.source_mut().sender = mailbox(address);
        self
    }

    /// Sets the recipients.
    #[must_use]
    pub fn with_recipients(mut self, addresses: &[&str]) -> Self {
        self.source_mut().recipients = addresses.iter().map(|address| mailbox(address)).collect();
        self
    }

    /// Sets the queue id.
    #[must_use]
    pub fn with_queue_id(mut self, queue_id: &str) -> Self {
        queue_id.clone_into(&mut self.source_mut().queue_id);
        self
    }

    /// Sets what the clock shows, in seconds since 1970.
    #[must_use]
    pub fn with_now(mut self, now: f64) -> Self {
        self.source_mut().now = now;
        self
    }

    /// Sets a fact of a stage before this one.
    #[must_use]
    pub fn with_known_fact(mut self, name: &str, value: impl Into<FactValue>) -> Self {
        self.source_mut().facts.insert(name.to_owned(), value.into());
        self
    }

    /// Grants a service that answers, once, what the plugin wrote before its first read.
    #[must_use]
    pub fn with_service(mut self, name: &str, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.source_mut().services.insert(name.to_owned(), FakeService::Answer(Box::new(answer)));
        self
    }

    /// Grants a service that is a real server at `address` (`127.0.0.1:3310`).
    #[must_use]
    pub fn with_service_at(mut self, name: &str, address: &str) -> Self {
        self.source_mut().services.insert(name.to_owned(), FakeService::Address(address.to_owned()));
        self
    }

    /// Grants a service that can not be opened.
    #[must_use]
    pub fn with_broken_service(mut self, name: &str, error: ServiceError) -> Self {
        self.source_mut().services.insert(name.to_owned(), FakeService::Broken(error));
        self
    }

    /// The bytes of a content that the plugin made for this message.
    #[must_use]
    pub fn content_bytes(&self, content: &Content) -> Vec<u8> {
        match content {
            Content::Inline(bytes) => bytes.clone(),
            Content::Blob(id) => self.source().blobs.borrow().get(*id as usize).cloned().unwrap_or_default(),
        }
    }
}

/// An edit in one line, as `cases/*/expected.toml` and test messages name it: `add-header NAME: VALUE`,
/// `replace-header NAME#N: VALUE`, `remove-header NAME#N` (`NAME` for all), `set-subject TEXT`,
/// `replace-part N by TYPE "FILE"`, `remove-part N`, `add-part TYPE "FILE"`, `append-text`, `prepend-text`,
/// `replace-content NAME: VALUE; …`, `set-sender A`, `add-recipient A`, `remove-recipient A`, `set-client ADDRESS`.
#[must_use]
pub fn edit_line(edit: &Edit) -> String {
    match edit {
        Edit::AddHeader(field) => format!("add-header {}: {}", field.name, field.value),
        Edit::InsertHeader(field) => format!("insert-header {}: {}", field.name, field.value),
        Edit::ReplaceHeader(field) => format!("replace-header {}#{}: {}", field.name, field.occurrence, field.value),
        Edit::RemoveHeader(field) if field.occurrence == 0 => format!("remove-header {}", field.name),
        Edit::RemoveHeader(field) => format!("remove-header {}#{}", field.name, field.occurrence),
        Edit::SetSubject(text) => format!("set-subject {text}"),
        Edit::ReplacePart(edit) => {
            format!("replace-part {} by {} {:?}", edit.part, edit.replacement.media_type, edit.replacement.file_name)
        }
        Edit::RemovePart(part) => format!("remove-part {part}"),
        Edit::AddPart(part) => format!("add-part {} {:?}", part.media_type, part.file_name),
        Edit::AppendText(_) => "append-text".to_owned(),
        Edit::PrependText(_) => "prepend-text".to_owned(),
        Edit::ReplaceContent(entity) => {
            let fields: Vec<String> =
                entity.headers.iter().map(|field| format!("{}: {}", field.name, field.value)).collect();
            format!("replace-content {}", fields.join("; "))
        }
        Edit::SetSender(address) => format!("set-sender {}", address.address),
        Edit::AddRecipient(address) => format!("add-recipient {}", address.address),
        Edit::RemoveRecipient(address) => format!("remove-recipient {address}"),
        Edit::SetClient(client) => format!("set-client {}", client.address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartKind;
    use std::io::Read;

    const MAIL: &[u8] = b"Subject: =?utf-8?q?caf=C3=A9?=\nFrom: A <a@example.org>, b@example.org\nMIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; charset=iso-8859-1\n\
        Content-Transfer-Encoding: quoted-printable\n\ncaf=E9\n--x\nContent-Type: application/zip; name=a.zip\n\
        Content-Transfer-Encoding: base64\n\nAAEC\n--x--\n";

    #[test]
    fn the_double_tells_headers_parts_and_content() {
        let message = Message::parse(MAIL);
        assert_eq!(message.header_text("subject"), ["café"]);
        assert_eq!(message.addresses("From").len(), 2);
        let parts = message.parts();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].kind, PartKind::Multipart);
        assert_eq!((parts[2].file_name.as_str(), parts[2].parent), ("a.zip", 0));
        assert_eq!(message.part_text(1, 100), "café");
        let mut bytes = Vec::new();
        message.part_reader(1).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"caf\xe9");
        bytes.clear();
        message.part_reader(2).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2]);
        bytes.clear();
        message.entity_reader(0).read_to_end(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"MIME-Version: 1.0\r\nContent-Type"), "{}", String::from_utf8_lossy(&bytes));
        bytes.clear();
        message.raw_reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), message.raw_size() as usize);
    }

    #[test]
    fn a_service_answers_in_pieces_and_what_was_not_granted_is_denied() {
        use std::io::Write;
        let message = Message::parse(MAIL).with_service("echo", <[u8]>::to_vec);
        let mut stream = message.service("echo").unwrap();
        stream.write_all(b"hello, world").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello, world");
        assert!(matches!(message.service("other"), Err(ServiceError::Denied)));
    }
}
