//! Testing plugins natively, without a host.
//!
//! [`Message::parse`](crate::Message::parse) makes a message of the bytes of an .eml file; the methods beside it set what
//! surrounds it. A message is a [`Transaction`] and a [`Session`], too: hooks take it.
//! A [`World`] is what several messages share: services, DNS, the store, the clock, grants. [`cases`] runs the folders of
//! a plugin's `cases/`, as `wasmilter plugin test` does in the sandbox.
//!
//! ```
//! # use wasmilter_sdk::{*, testing::{self, World}};
//! # use std::time::Duration;
//! # struct Rate;
//! # #[derive(serde::Deserialize, schemars::JsonSchema)] struct Config {}
//! # impl Plugin for Rate {
//! #     type Config = Config;
//! #     fn info() -> Info { wasmilter_sdk::info!("store") }
//! #     fn configure(_: Config) -> Result<Self, Problems> { Ok(Self) }
//! # }
//! # impl OnConnect for Rate {
//! #     fn connect(&self, session: &Session) -> Result<HookDecision, Failure> {
//! #         let count = session.store().count(&session.client().address, 1, Duration::from_secs(60))?;
//! #         Ok(if count > 1 { HookDecision::tempfail("slow down") } else { HookDecision::next() })
//! #     }
//! # }
//! let world = World::new().with_grants(&["store"]);
//! let client = world.message(b"").with_client(|client| client.address = "192.0.2.9".to_owned());
//! assert_eq!(*testing::connect::<Rate>("{}", &client)?.verdict(), HookVerdict::Next);
//! assert!(matches!(testing::connect::<Rate>("{}", &client)?.verdict(), HookVerdict::Tempfail(_)));
//! world.pass(Duration::from_secs(61));
//! assert_eq!(*testing::connect::<Rate>("{}", &client)?.verdict(), HookVerdict::Next);
//! # Ok::<(), Failure>(())
//! ```
//!
//! What the host would refuse is refused here: a read or an edit that was not granted is a failure whose detail begins with
//! `refused`. It is a double and no second host all the same: roles of parts are told only roughly, defects not at all, and
//! limits of time and memory do not hold.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test double: what would be a trap in the host is a panic in the test"
)]

mod cases;
mod script;
mod world;

pub use cases::cases;
pub use world::World;

use crate::{
    ClientInfo, Content, Decision, Edit, FactValue, Failure, HookDecision, Mailbox, Message, MessagePolicy, OnConnect,
    OnHelo, OnMail, OnRcpt, PartRole, Plugin, Problems, ServiceError, Session, Transaction,
    bindings::message::exports::wasmilter::policy::message_policy as contract,
    configuration,
    source::{Source, grant_of, mailbox},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Configures a plugin from JSON text, as the host does.
///
/// # Errors
/// All problems.
pub fn configure<P: Plugin>(config: &str) -> Result<P, Problems> {
    configuration::configure(config)
}

/// The JSON Schema of a plugin's configuration.
#[must_use]
pub fn schema<P: Plugin>() -> serde_json::Value {
    crate::schema::of::<P::Config>().parse().expect("a schema is JSON")
}

fn configured<P: Plugin>(config: &str) -> P {
    match configure::<P>(config) {
        Ok(policy) => policy,
        Err(problems) => panic!("configuration refused: {:?}", problems.into_list()),
    }
}

/// Configures a plugin and judges a message.
///
/// # Errors
/// The plugin's failure, or that it asked for what was not granted. Panics when the configuration is refused.
pub fn judge<P: MessagePolicy>(config: &str, message: &Message) -> Result<Decision, Failure> {
    decided(&configured::<P>(config), message)
}

/// Configures a plugin and asks it at connect.
///
/// # Errors
/// As [`judge`].
pub fn connect<P: OnConnect>(config: &str, session: &Session) -> Result<HookDecision, Failure> {
    let plugin = configured::<P>(config);
    caught(|| plugin.connect(session))
}

/// Configures a plugin and asks it at HELO.
///
/// # Errors
/// As [`judge`].
pub fn helo<P: OnHelo>(config: &str, session: &Session) -> Result<HookDecision, Failure> {
    let plugin = configured::<P>(config);
    caught(|| plugin.helo(session))
}

/// Configures a plugin and asks it at MAIL FROM.
///
/// # Errors
/// As [`judge`].
pub fn mail<P: OnMail>(config: &str, transaction: &Transaction) -> Result<HookDecision, Failure> {
    let plugin = configured::<P>(config);
    caught(|| plugin.mail(transaction))
}

/// Configures a plugin and asks it at RCPT TO.
///
/// # Errors
/// As [`judge`].
pub fn rcpt<P: OnRcpt>(config: &str, transaction: &Transaction, recipient: &str) -> Result<HookDecision, Failure> {
    let plugin = configured::<P>(config);
    caught(|| plugin.rcpt(transaction, &mailbox(recipient)))
}

fn decided<P: MessagePolicy>(plugin: &P, message: &Message) -> Result<Decision, Failure> {
    let decision = caught(|| plugin.decide(message))?;
    let checked = decision.clone().into_contract()?;
    for (number, edit) in checked.edits.iter().enumerate() {
        let world = &message.source.world;
        if let Some(missing) = grants_of(edit, message).into_iter().find(|grant| !world.granted(&[grant])) {
            let line = edit_line(edit);
            return Err(Failure::internal(format!(
                "refused: edit {} ({line}) needs the grant {missing:?}",
                number + 1
            )));
        }
    }
    Ok(decision)
}

/// Runs a call; a refusal of the double, which is a panic, becomes a failure. Other panics go on.
fn caught<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| match panic.downcast_ref::<String>() {
        Some(text) if text.starts_with("refused: ") => Err(Failure::internal(text)),
        _ => std::panic::resume_unwind(panic),
    })
}

fn grants_of(edit: &Edit, message: &Message) -> Vec<&'static str> {
    match edit {
        Edit::AddHeader(_)
        | Edit::InsertHeader(_)
        | Edit::ReplaceHeader(_)
        | Edit::RemoveHeader(_)
        | Edit::SetSubject(_) => vec!["headers"],
        Edit::ReplacePart(contract::PartReplacement { part, .. }) | Edit::RemovePart(part) => gone(*part, message),
        Edit::AddPart(_) => vec!["attachments"],
        Edit::AppendText(_) | Edit::PrependText(_) => vec!["text"],
        Edit::ReplaceContent(_) => vec!["raw"],
        Edit::SetSender(_) | Edit::AddRecipient(_) | Edit::RemoveRecipient(_) => vec!["recipients"],
        Edit::SetClient(_) => vec!["set-client"],
    }
}

/// The grants of a part and all below it. A frame with nothing in it counts as an attachment.
fn gone(part: u32, message: &Message) -> Vec<&'static str> {
    let below = message.source.tree().filter(|info| info.id == part || is_below(info.id, part, message));
    let mut grants: Vec<_> = below.filter(|info| info.role != PartRole::Container).map(grant_of).collect();
    if grants.is_empty() {
        grants.push("attachments");
    }
    grants
}

fn is_below(mut id: u32, above: u32, message: &Message) -> bool {
    while let Some(parent) = message.source.tree().find(|info| info.id == id).map(|info| info.parent) {
        if parent == above {
            return true;
        }
        if parent == id {
            return false;
        }
        id = parent;
    }
    false
}

/// What a plugin exports, made by [`plugin!`](crate::plugin) in native builds.
#[doc(hidden)]
pub trait Exports: Plugin {
    /// None when it does not export that.
    fn ask(plugin: &Self, ask: &Ask, message: &Message) -> Option<Result<Answer, Failure>>;
}

#[doc(hidden)]
#[derive(Debug)]
#[allow(missing_docs, reason = "authors do not use it")]
pub enum Ask {
    Message,
    Connect,
    Helo,
    Mail,
    Rcpt(Mailbox),
}

#[doc(hidden)]
#[allow(missing_docs, reason = "authors do not use it")]
pub enum Answer {
    Decision(Decision),
    Hook(HookDecision),
}

#[doc(hidden)]
#[allow(missing_docs, clippy::missing_errors_doc, reason = "authors do not use it")]
impl Answer {
    pub fn message<P: MessagePolicy>(plugin: &P, message: &Message) -> Result<Self, Failure> {
        decided(plugin, message).map(Self::Decision)
    }

    pub fn connect<P: OnConnect>(plugin: &P, message: &Message) -> Result<Self, Failure> {
        caught(|| plugin.connect(message)).map(Self::Hook)
    }

    pub fn helo<P: OnHelo>(plugin: &P, message: &Message) -> Result<Self, Failure> {
        caught(|| plugin.helo(message)).map(Self::Hook)
    }

    pub fn mail<P: OnMail>(plugin: &P, message: &Message) -> Result<Self, Failure> {
        caught(|| plugin.mail(message)).map(Self::Hook)
    }

    pub fn rcpt<P: OnRcpt>(plugin: &P, message: &Message, recipient: &Mailbox) -> Result<Self, Failure> {
        caught(|| plugin.rcpt(message, recipient)).map(Self::Hook)
    }
}

/// The double of a message, to be set up by tests.
impl Message {
    /// From the bytes of an .eml file, from an unauthenticated client 192.0.2.1, `sender@example.net` to
    /// `recipient@example.org`, in a [`World`] of its own.
    #[must_use]
    pub fn parse(eml: &[u8]) -> Self {
        World::new().message(eml)
    }

    fn source_mut(&mut self) -> &mut Source {
        &mut self.transaction.session.source
    }

    /// The world that it is in.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.transaction.session.source.world
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

    /// Sets the ESMTP arguments of the sender.
    #[must_use]
    pub fn with_sender_arguments(mut self, arguments: &[&str]) -> Self {
        self.source_mut().sender.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
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

    /// Sets a fact of a stage before this one.
    #[must_use]
    pub fn with_known_fact(mut self, name: &str, value: impl Into<FactValue>) -> Self {
        self.source_mut().facts.insert(name.to_owned(), value.into());
        self
    }

    /// [`World::with_now`]
    #[must_use]
    pub fn with_now(self, now: f64) -> Self {
        drop(self.world().clone().with_now(now));
        self
    }

    /// [`World::with_grants`]
    #[must_use]
    pub fn with_grants<G: AsRef<str>>(self, grants: &[G]) -> Self {
        drop(self.world().clone().with_grants(grants));
        self
    }

    /// [`World::with_service`]
    #[must_use]
    pub fn with_service(self, name: &str, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        drop(self.world().clone().with_service(name, answer));
        self
    }

    /// [`World::with_service_at`]
    #[must_use]
    pub fn with_service_at(self, name: &str, address: &str) -> Self {
        drop(self.world().clone().with_service_at(name, address));
        self
    }

    /// [`World::with_broken_service`]
    #[must_use]
    pub fn with_broken_service(self, name: &str, error: ServiceError) -> Self {
        drop(self.world().clone().with_broken_service(name, error));
        self
    }

    /// The bytes of a content that the plugin made for this message.
    #[must_use]
    pub fn content_bytes(&self, content: &Content) -> Vec<u8> {
        self.contract_bytes(content.as_contract())
    }

    /// The bytes of a content in an edit that the plugin made for this message.
    #[must_use]
    pub fn contract_bytes(&self, content: &contract::Content) -> Vec<u8> {
        match content {
            contract::Content::Inline(bytes) => bytes.clone(),
            contract::Content::Blob(id) => self.source.blobs.borrow().get(*id as usize).cloned().unwrap_or_default(),
        }
    }
}

/// An edit in one line, as `cases/*/expected.toml` and test messages name it: `add-header NAME: VALUE`,
/// `replace-header NAME#N: VALUE`, `remove-header NAME#N` (`NAME` for all), `set-subject TEXT`,
/// `replace-part N by TYPE "FILE"`, `remove-part N`, `add-part TYPE "FILE"`, `append-text TEXT`, `prepend-text TEXT`,
/// `replace-content NAME: VALUE; …`, `set-sender A`, `add-recipient A`, `remove-recipient A`, `set-client ADDRESS`.
#[must_use]
pub fn edit_line(edit: &Edit) -> String {
    let shown =
        |text: &contract::Annotation| if text.plain.is_empty() { text.html.clone() } else { text.plain.clone() };
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
        Edit::AppendText(text) => format!("append-text {}", shown(text)),
        Edit::PrependText(text) => format!("prepend-text {}", shown(text)),
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
        assert_eq!(parts[1].text(100), "café");
        let mut bytes = Vec::new();
        parts[1].reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"caf\xe9");
        bytes.clear();
        parts[2].reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2]);
        bytes.clear();
        message.entity_reader().read_to_end(&mut bytes).unwrap();
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
