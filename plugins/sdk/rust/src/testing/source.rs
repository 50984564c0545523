//! Where a message comes from in native tests: a double of the host, made from the bytes of an .eml file. Counterpart of
//! `ambient.rs`. It is no second host: roles and defects of parts are told only roughly.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test double: what would be a trap in the host is a panic in the test"
)]

use crate::{
    Address, ClientInfo, FactValue, MailExchanger, Mailbox, PartInfo as Part, PartKind, PartRole,
    RawHeaderField as HeaderField, ServiceError,
    bindings::wasmilter::policy::{dns::DnsError, log::Level, store::StoreError},
    testing::World,
};
use mail_parser::{Encoding, HeaderValue, MessageParser, MimeHeaders, PartType, parsers::MessageStream};
use std::{cell::RefCell, collections::BTreeMap};

pub(crate) const LARGEST_READ: u32 = 65_536;

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

pub(crate) struct LeafOrContainer {
    pub(crate) info: Part,
    header_fields: Vec<HeaderField>,
    entity: Vec<u8>,
    decoded: Vec<u8>,
    text: String,
}

pub(crate) struct Source {
    pub(crate) client: ClientInfo,
    pub(crate) connected: Option<ClientInfo>,
    pub(crate) sender: Mailbox,
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) queue_id: String,
    pub(crate) facts: BTreeMap<String, FactValue>,
    /// What surrounds the transaction; messages may share it.
    pub(crate) world: World,
    pub(crate) blobs: RefCell<Vec<Vec<u8>>>,
    raw: Vec<u8>,
    headers: Vec<HeaderField>,
    parts: Vec<LeafOrContainer>,
}

pub(crate) fn mailbox(address: &str) -> Mailbox {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    Mailbox {
        address: address.to_owned(),
        local: local.to_owned(),
        domain: domain.to_ascii_lowercase(),
        arguments: Vec::new(),
    }
}

impl Source {
    /// Line ends become CRLF, as in a message that came by SMTP.
    pub(crate) fn parse(message: &[u8], world: World) -> Self {
        let raw = with_crlf(message);
        let headers = fields(&raw);
        let mut parts = Vec::new();
        if let Some(parsed) = MessageParser::new().parse(&raw) {
            flatten(&parsed, 0, None, None, &mut parts);
        }
        Self {
            client: ClientInfo {
                address: "192.0.2.1".to_owned(),
                port: 25_000,
                hostname: "client.example.net".to_owned(),
                helo: "client.example.net".to_owned(),
                auth_user: String::new(),
                auth_mechanism: String::new(),
                tls_version: String::new(),
                tls_cipher: String::new(),
                listener: String::new(),
            },
            connected: None,
            sender: mailbox("sender@example.net"),
            recipients: vec![mailbox("recipient@example.org")],
            queue_id: "4TEST0123".to_owned(),
            facts: BTreeMap::new(),
            world,
            blobs: RefCell::default(),
            raw,
            headers,
            parts,
        }
    }

    pub(crate) fn client(&self) -> ClientInfo {
        self.client.clone()
    }

    pub(crate) fn connected(&self) -> ClientInfo {
        self.connected.as_ref().unwrap_or(&self.client).clone()
    }

    pub(crate) fn sender(&self) -> Mailbox {
        self.world.needs(&["envelope"]);
        self.sender.clone()
    }

    pub(crate) fn recipients(&self) -> Vec<Mailbox> {
        self.world.needs(&["envelope"]);
        self.recipients.clone()
    }

    pub(crate) fn queue_id(&self) -> String {
        self.world.needs(&["envelope"]);
        self.queue_id.clone()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderField> {
        self.world.needs(&["headers"]);
        self.headers.clone()
    }

    pub(crate) fn header_count(&self, name: &str) -> u32 {
        self.world.needs(&["headers"]);
        u32::try_from(self.header(name).len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn header(&self, name: &str) -> Vec<HeaderField> {
        self.world.needs(&["headers"]);
        self.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).cloned().collect()
    }

    pub(crate) fn header_text(&self, name: &str) -> Vec<String> {
        self.world.needs(&["headers"]);
        let decoded = self.header(name).into_iter().map(|field| {
            let line = [field.value.as_slice(), b"\r\n"].concat();
            match MessageStream::new(&line).parse_unstructured() {
                HeaderValue::Text(text) => text.into_owned(),
                HeaderValue::TextList(texts) => texts.join(" "),
                _ => String::new(),
            }
        });
        decoded.collect()
    }

    pub(crate) fn addresses(&self, name: &str) -> Vec<Address> {
        self.world.needs(&["headers"]);
        let mut found = Vec::new();
        for field in self.header(name) {
            let line = [field.value.as_slice(), b"\r\n"].concat();
            if let HeaderValue::Address(addresses) = MessageStream::new(&line).parse_address() {
                found.extend(addresses.iter().map(|address| Address {
                    name: address.name().unwrap_or_default().to_owned(),
                    address: address.address().unwrap_or_default().to_owned(),
                }));
            }
        }
        found
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        self.world.needs(&["text", "attachments"]);
        self.parts.iter().map(|part| part.info.clone()).collect()
    }

    fn part(&self, part: u32) -> &LeafOrContainer {
        usize::try_from(part).ok().and_then(|part| self.parts.get(part)).expect("the host traps: no such part")
    }

    /// All parts, whatever was granted.
    pub(crate) fn tree(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().map(|part| &part.info)
    }

    pub(crate) fn part_headers(&self, part: u32) -> Vec<HeaderField> {
        self.world.needs(if part == 0 { &["headers"] } else { &["text", "attachments"] });
        self.part(part).header_fields.clone()
    }

    pub(crate) fn part_size(&self, part: u32) -> u32 {
        self.world.needs(&[grant_of(&self.part(part).info)]);
        u32::try_from(self.part(part).decoded.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn part_text(&self, part: u32, limit: u32) -> String {
        self.world.needs(&[grant_of(&self.part(part).info)]);
        let text = &self.part(part).text;
        let mut end = text.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    }

    pub(crate) fn read_part(&self, part: u32, offset: u32, length: u32) -> Vec<u8> {
        self.world.needs(&[grant_of(&self.part(part).info)]);
        piece(&self.part(part).decoded, offset, length)
    }

    pub(crate) fn read_entity(&self, part: u32, offset: u32, length: u32) -> Vec<u8> {
        self.world.needs(&["raw"]);
        piece(&self.part(part).entity, offset, length)
    }

    pub(crate) fn raw_size(&self) -> u32 {
        self.world.needs(&["raw"]);
        u32::try_from(self.raw.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn read_raw(&self, offset: u32, length: u32) -> Vec<u8> {
        self.world.needs(&["raw"]);
        piece(&self.raw, offset, length)
    }

    pub(crate) fn fact(&self, name: &str) -> Option<FactValue> {
        self.facts.get(name).cloned()
    }

    pub(crate) fn open(&self, service: &str) -> Result<u32, ServiceError> {
        self.world.open(service)
    }

    pub(crate) fn send(&self, connection: u32, bytes: &[u8]) -> Result<(), ServiceError> {
        self.world.send(connection, bytes)
    }

    pub(crate) fn finish(&self, connection: u32) -> Result<(), ServiceError> {
        self.world.finish(connection)
    }

    pub(crate) fn receive(&self, connection: u32, max: u32) -> Result<Vec<u8>, ServiceError> {
        self.world.receive(connection, max)
    }

    pub(crate) fn close(&self, connection: u32) {
        self.world.close(connection);
    }

    pub(crate) fn dns_addresses(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.world.records("addresses", name)
    }

    pub(crate) fn dns_texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.world.records("texts", name)
    }

    pub(crate) fn dns_mail_exchangers(&self, name: &str) -> Result<Vec<MailExchanger>, DnsError> {
        let records = self.world.records("mail_exchangers", name)?;
        let exchangers = records.iter().map(|record| {
            let (preference, host) =
                record.split_once(' ').expect("a mail exchanger is a preference, a space and a host");
            let preference = preference.parse().expect("the preference is a number");
            MailExchanger { preference, host: host.to_owned() }
        });
        let mut exchangers: Vec<MailExchanger> = exchangers.collect();
        exchangers.sort_by_key(|exchanger| exchanger.preference);
        Ok(exchangers)
    }

    pub(crate) fn dns_names(&self, address: &str) -> Result<Vec<String>, DnsError> {
        self.world.records("names", address)
    }

    pub(crate) fn store_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.world.store_get(key)
    }

    pub(crate) fn store_set(&self, key: &str, value: &[u8], seconds: u32) -> Result<(), StoreError> {
        self.world.store_set(key, value, seconds)
    }

    pub(crate) fn store_remove(&self, key: &str) -> Result<(), StoreError> {
        self.world.store_remove(key)
    }

    pub(crate) fn store_add(&self, key: &str, amount: u32, seconds: u32) -> Result<u32, StoreError> {
        self.world.store_add(key, amount, seconds)
    }

    pub(crate) fn create_blob(&self) -> u32 {
        let mut blobs = self.blobs.borrow_mut();
        blobs.push(Vec::new());
        u32::try_from(blobs.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn append(&self, blob: u32, bytes: &[u8]) {
        self.blobs.borrow_mut()[blob as usize].extend_from_slice(bytes);
    }

    pub(crate) fn append_entity(&self, blob: u32, part: u32) {
        self.world.needs(&["raw"]);
        let entity = &self.part(part).entity;
        self.append(blob, entity);
    }

    pub(crate) fn now(&self) -> f64 {
        self.world.needs(&["clock"]);
        self.world.now()
    }

    /// Counts up: tests want the same every time.
    pub(crate) fn random(&self, length: u32) -> Vec<u8> {
        self.world.needs(&["random"]);
        assert!(length <= 4096, "the host traps: more than 4096 bytes of randomness at once");
        (0..=u8::MAX).cycle().take(length as usize).collect()
    }
}

/// The grant that content of a part needs.
pub(crate) fn grant_of(part: &Part) -> &'static str {
    if part.role == PartRole::Body { "text" } else { "attachments" }
}

fn piece(bytes: &[u8], offset: u32, length: u32) -> Vec<u8> {
    let rest = bytes.get(offset as usize..).unwrap_or_default();
    rest[..rest.len().min(length.min(LARGEST_READ) as usize)].to_vec()
}

fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(message.len() + message.len() / 40);
    for &byte in message {
        if byte == b'\n' && raw.last() != Some(&b'\r') {
            raw.push(b'\r');
        }
        raw.push(byte);
    }
    raw
}

/// The header fields at the beginning of an entity.
fn fields(entity: &[u8]) -> Vec<HeaderField> {
    let mut fields: Vec<HeaderField> = Vec::new();
    for line in entity.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.first(), fields.last_mut()) {
            (None, _) => break,
            (Some(b' ' | b'\t'), Some(field)) => {
                field.value.extend_from_slice(b"\r\n");
                field.value.extend_from_slice(line);
            }
            _ => {
                let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
                let name = String::from_utf8_lossy(&line[..colon]).trim_end().to_owned();
                fields.push(HeaderField { name, value: line[colon + 1..].to_vec() });
            }
        }
    }
    fields
}

/// Puts the part `index` of a message and everything below it in order of appearance.
fn flatten(
    message: &mail_parser::Message<'_>,
    index: u32,
    parent: Option<u32>,
    inherited: Option<PartRole>,
    parts: &mut Vec<LeafOrContainer>,
) {
    let Some(part) = message.parts.get(index as usize) else { return };
    let id = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let raw = message.raw_message.as_ref();
    let content = raw.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default();
    let header = raw.get(part.offset_header as usize..part.offset_body as usize).unwrap_or_default();
    let header_fields = fields(header);

    let media_type = part.content_type().map_or_else(
        || "text/plain".to_owned(),
        |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("plain")).to_ascii_lowercase(),
    );
    let disposition = part.content_disposition().map(|kind| kind.ctype().to_ascii_lowercase()).unwrap_or_default();
    let file_name = part.attachment_name().unwrap_or_default().to_owned();
    let kind = match &part.body {
        PartType::Multipart(_) => PartKind::Multipart,
        PartType::Message(_) => PartKind::Message,
        _ => PartKind::Leaf,
    };
    let encrypted = matches!(media_type.as_str(), "multipart/encrypted" | "application/pkcs7-mime");
    let role = inherited.unwrap_or(match (kind, media_type.as_str()) {
        _ if encrypted => PartRole::Encrypted,
        (_, "multipart/signed") => PartRole::Signed,
        (PartKind::Multipart, _) => PartRole::Container,
        (PartKind::Leaf, "text/plain" | "text/html") if disposition != "attachment" && file_name.is_empty() => {
            PartRole::Body
        }
        _ => PartRole::Attachment,
    });
    let (decoded, text) = match &part.body {
        // Text comes decoded from its charset; the bytes before that are read again.
        PartType::Text(text) | PartType::Html(text) => (decode(content, part.encoding), text.to_string()),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
            (bytes.to_vec(), String::from_utf8_lossy(bytes).into_owned())
        }
        PartType::Message(_) | PartType::Multipart(_) => (Vec::new(), String::new()),
    };
    // The root's entity leaves out what is the message's and not the content's.
    let entity = if id == 0 {
        let mut entity = Vec::new();
        for field in &header_fields {
            let name = field.name.to_ascii_lowercase();
            if name == "mime-version" || name.starts_with("content-") {
                entity.extend_from_slice(field.name.as_bytes());
                entity.push(b':');
                entity.extend_from_slice(&field.value);
                entity.extend_from_slice(b"\r\n");
            }
        }
        entity.extend_from_slice(b"\r\n");
        entity.extend_from_slice(content);
        entity
    } else {
        [header, content].concat()
    };
    parts.push(LeafOrContainer {
        info: Part {
            id,
            parent: parent.unwrap_or(id),
            kind,
            role,
            media_type,
            charset: part
                .content_type()
                .and_then(|kind| kind.attribute("charset"))
                .map(str::to_ascii_lowercase)
                .unwrap_or_default(),
            encoding: part.content_transfer_encoding().map_or_else(|| "7bit".to_owned(), str::to_ascii_lowercase),
            disposition,
            file_name,
            content_id: part.content_id().unwrap_or_default().to_owned(),
            encoded_size: u32::try_from(content.len()).unwrap_or(u32::MAX),
            defects: Vec::new(),
        },
        header_fields,
        entity,
        decoded,
        text,
    });

    let inherited = match (role, kind) {
        (PartRole::Signed | PartRole::Encrypted, _) => Some(role),
        (_, PartKind::Message) => Some(PartRole::Attachment),
        _ => inherited,
    };
    match &part.body {
        PartType::Multipart(children) => {
            for &child in children {
                flatten(message, child, Some(id), inherited, parts);
            }
        }
        PartType::Message(nested) => flatten(nested, 0, Some(id), inherited, parts),
        _ => {}
    }
}

fn decode(content: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::None => content.to_vec(),
        Encoding::Base64 => mail_parser::decoders::base64::base64_decode(content).unwrap_or_default(),
        Encoding::QuotedPrintable => {
            mail_parser::decoders::quoted_printable::quoted_printable_decode(content).unwrap_or_default()
        }
    }
}
