//! What is known before the message, and what the host offers at any time.

use crate::{ClientInfo, Dns, FactValue, Mailbox, Service, ServiceError, Store, message::Recipients, source::Source};
use std::ops::Deref;

/// An SMTP session: who the client is, what stages before this one found out, and what the host offers. Hooks at connect
/// and HELO get this; a [`Transaction`] and a [`Message`](crate::Message) are one, too (they dereference to it).
///
/// In the host it is a handle without content of its own: there is one session, transaction or message at a time.
pub struct Session {
    pub(crate) source: Source,
}

impl Session {
    /// The client as stages before this one restored it, otherwise the connected one. At connect it has no HELO name yet.
    #[must_use]
    pub fn client(&self) -> ClientInfo {
        self.source.client()
    }

    /// The host that is connected to the MTA, whatever stages before this one found out.
    #[must_use]
    pub fn connected(&self) -> ClientInfo {
        self.source.connected()
    }

    /// What a stage before this one published, by full name such as `spam.score`.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<FactValue> {
        self.source.fact(name)
    }

    /// Opens a stream to a network service. Needs the grant `service:NAME`.
    ///
    /// # Errors
    /// When it was not granted or can not be reached.
    pub fn service(&self, name: &str) -> Result<Service<'_>, ServiceError> {
        Service::open(&self.source, name)
    }

    /// The domain name system. Needs the grant `dns`.
    #[must_use]
    pub const fn dns(&self) -> Dns<'_> {
        Dns::new(&self.source)
    }

    /// What the plugin remembers from one message to the next. Needs the grant `store` or `store:NAME`.
    #[must_use]
    pub const fn store(&self) -> Store<'_> {
        Store::new(&self.source)
    }

    /// Seconds since 1970-01-01T00:00:00Z. Needs the grant `clock`.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.source.now()
    }

    /// Randomness fit for keys; at most 4096 bytes a call. Needs the grant `random`.
    #[must_use]
    pub fn random(&self, length: u32) -> Vec<u8> {
        self.source.random(length)
    }
}

/// An SMTP transaction: a [`Session`] with its envelope. Hooks at MAIL and RCPT get this; a [`Message`](crate::Message) is one,
/// too. What it adds needs the grant `envelope`.
pub struct Transaction {
    pub(crate) session: Session,
}

impl Transaction {
    /// The envelope sender; its address is empty for the null sender.
    #[must_use]
    pub fn sender(&self) -> Mailbox {
        self.source.sender()
    }

    /// The recipients that the MTA accepted so far.
    #[must_use]
    pub fn recipients(&self) -> Recipients {
        Recipients::new(self.source.recipients())
    }

    /// The MTA's queue id; empty while it has none.
    #[must_use]
    pub fn queue_id(&self) -> String {
        self.source.queue_id()
    }
}

impl Deref for Transaction {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
