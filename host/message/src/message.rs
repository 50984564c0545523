//! The states of a message: [`Transaction`] → [`ReceivedMessage`] → [`ParsedMessage`] → [`JudgedMessage`].

use crate::{
    client::Client,
    decision::Verdict,
    envelope::Envelope,
    facts::Facts,
    headers::{Field, Headers},
    mime::Tree,
    trace::Trace,
};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// The SMTP transaction so far: everything but the content. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Our own id of the message, unique within this process; for logs and traces. (The MTA's queue id comes late.)
    pub id: Arc<str>,
    /// The host that is connected to the MTA.
    pub connected: Arc<Client>,
    /// Sender and recipients so far.
    pub envelope: Envelope,
    /// What envelope hooks have published so far.
    pub facts: Facts,
}

/// A message as a door has gathered it, every byte as it came.
#[derive(Debug, Clone, Default)]
pub struct ReceivedMessage {
    /// Client and envelope.
    pub transaction: Transaction,
    /// Header fields, from the top.
    pub headers: Vec<Field>,
    /// Everything after the empty line that ends the header; lines ended by CRLF.
    pub body: Bytes,
}

/// A message that can be looked into. Never changes: an edit makes a new one, which shares what is unchanged.
#[derive(Debug, Clone)]
pub struct ParsedMessage {
    /// Our own id of the message.
    pub id: Arc<str>,
    /// The host that is connected to the MTA.
    pub connected: Arc<Client>,
    /// The client as restored by a stage, otherwise the same as `connected`.
    pub client: Arc<Client>,
    /// Sender and recipients.
    pub envelope: Envelope,
    /// Header fields.
    pub headers: Headers,
    /// Body.
    pub body: Bytes,
    /// What stages have published.
    pub facts: Facts,
    /// Parsed when somebody asks first: many messages are judged by envelope and header alone.
    tree: OnceLock<Arc<Tree>>,
}

impl ParsedMessage {
    /// The received message, ready to be looked into.
    #[must_use]
    pub fn new(received: ReceivedMessage) -> Self {
        let Transaction { id, connected, envelope, facts } = received.transaction;
        Self {
            id,
            client: Arc::clone(&connected),
            connected,
            envelope,
            headers: Headers::received(received.headers),
            body: received.body,
            facts,
            tree: OnceLock::new(),
        }
    }

    /// A transaction without content, for envelope hooks.
    #[must_use]
    pub fn without_content(so_far: Transaction) -> Self {
        Self::new(ReceivedMessage { transaction: so_far, ..ReceivedMessage::default() })
    }

    /// The MIME tree of the body. Never fails: what is wrong with the message is said in the tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Arc::new(Tree::parse(&self.headers, &self.body)))
    }

    /// Whether [`Self::tree`] is at hand: the first call takes time that grows with the body.
    #[must_use]
    pub fn is_parsed(&self) -> bool {
        self.tree.get().is_some()
    }

    /// The same message with other content; the tree is parsed anew when asked for.
    #[must_use]
    pub fn with_content(&self, headers: Headers, body: Bytes) -> Self {
        Self { headers, body, tree: OnceLock::new(), ..self.clone() }
    }

    /// Size of the message in bytes: header fields, empty line, body.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.headers.size() + 2 + self.body.len() as u64
    }

    /// Whether the body is the very one of `other`, without looking at its bytes.
    #[must_use]
    pub fn same_body(&self, other: &Self) -> bool {
        self.body.len() == other.body.len() && std::ptr::eq(self.body.as_ptr(), other.body.as_ptr())
    }
}

/// A message with its verdict: what a door needs to answer its peer.
#[derive(Debug, Clone)]
pub struct JudgedMessage {
    /// The message as it came.
    pub received: Arc<ParsedMessage>,
    /// The message as the stages left it.
    pub message: Arc<ParsedMessage>,
    /// What happens to it; never [`Verdict::Next`].
    pub verdict: Verdict,
    /// How it came to that.
    pub trace: Trace,
}
