//! The pipeline as a door sees it.

use crate::{
    decision::HookVerdict,
    envelope::Mailbox,
    facts::Facts,
    message::{JudgedMessage, ReceivedMessage, Transaction},
};
use serde::Serialize;
use std::{future::Future, pin::Pin};

/// A future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Judges messages. Implemented by the pipeline; doors know nothing else of it.
///
/// Neither call fails: whatever goes wrong inside becomes a verdict. Both are bounded by the deadline that the
/// pipeline sets itself.
pub trait Judge: Send + Sync {
    /// What the door has to ask of its peer. Fixed for the lifetime of the judge.
    fn needs(&self) -> Needs;

    /// Judges a transaction that is still under way.
    fn hook(&self, hook: Hook, so_far: Transaction) -> BoxFuture<'static, HookJudged>;

    /// Judges a whole message.
    fn judge(&self, message: ReceivedMessage) -> BoxFuture<'static, JudgedMessage>;
}

/// What some stage wants to know or be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Asked at connect.
    pub connect: bool,
    /// Asked at HELO.
    pub helo: bool,
    /// Asked at MAIL.
    pub mail: bool,
    /// Asked at RCPT.
    pub rcpt: bool,
    /// Judges whole messages.
    pub message: bool,
    /// Looks at header fields, or may change them. Implied by `body`.
    pub headers: bool,
    /// Looks at the body or its size, or may change it.
    pub body: bool,
}

impl Needs {
    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect || other.connect,
            helo: self.helo || other.helo,
            mail: self.mail || other.mail,
            rcpt: self.rcpt || other.rcpt,
            message: self.message || other.message,
            headers: self.headers || other.headers,
            body: self.body || other.body,
        }
    }
}

/// A point in the transaction at which an envelope hook is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// The client connected.
    Connect,
    /// It said HELO or EHLO.
    Helo,
    /// It said MAIL FROM.
    Mail,
    /// It said RCPT TO, with this recipient.
    Rcpt(Mailbox),
}

impl Hook {
    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt(_) => "rcpt",
        }
    }
}

/// What all stages together say at a hook: the first that does not say `next` wins.
#[derive(Debug, Clone, PartialEq)]
pub struct HookJudged {
    /// What the door has to answer.
    pub verdict: HookVerdict,
    /// The facts of the transaction with those that the stages published now.
    pub facts: Facts,
}
