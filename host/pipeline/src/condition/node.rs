//! A condition after the check: what `evaluate` walks.

use super::{local::Local, network::Network};
use regex::Regex;
use std::sync::Arc;

/// An expression whose names are known and whose types fit.
#[derive(Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Node>),
    Client(ClientField),
    Sender,
    Recipients,
    QueueId,
    Direction(Arc<Local>),
    Size,
    /// A field of a mailbox.
    Mailbox(Box<Node>, MailboxField),
    /// All fields of a name, decoded.
    Headers(Box<Node>),
    /// The topmost field of a name, decoded; empty when there is none.
    Header(Box<Node>),
    /// Whether there is a field of a name.
    HasHeader(Box<Node>),
    /// By full name; unset when nobody published it.
    Fact(String),
    HasFact(String),
    /// A variable of the comprehension at hand.
    Item,
    /// What the comprehension at hand has gathered so far.
    Gathered,
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Calculate(Operation, Box<Node>, Box<Node>),
    Index(Box<Node>, Box<Node>),
    Call(Function, Box<Node>, Vec<Node>),
    Matches(Box<Node>, Regex),
    InNetwork(Box<Node>, Network),
    Comprehension(Box<Comprehension>),
}

/// `all`, `exists`, `exists_one`, `map`, `filter`, as the parser spells them out.
#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) range: Node,
    pub(super) start: Node,
    /// Goes on while this is true.
    pub(super) goes_on: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientField {
    Address,
    Port,
    Hostname,
    Helo,
    Authenticated,
    User,
    Tls,
    Listener,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MailboxField {
    Address,
    Local,
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
}
