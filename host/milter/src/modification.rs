//! The fewest milter modifications that turn the received message into the judged one.
//!
//! MTAs differ in how they count and place header fields. These rules mean the same on all of them:
//! 1. Changes and deletions come first, for each name from its last occurrence to its first, so that none moves the
//!    index of another.
//! 2. Fields on top are inserted at index 0, the last of them first. (Index 2 and up is counted in two ways.)
//! 3. Fields at the end are added; when there is a field of that name already, inserted at an index past the end, because
//!    Sendmail puts an added field before the first of its name. A new field between received ones has no place that
//!    both MTAs agree on: it goes to the end.
//! 4. The body comes in one run; then the sender; then recipients, removals first.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use std::fmt;
use wasmilter_message::{
    decision::Verdict,
    envelope::Mailbox,
    headers::{Entry, Field},
    message::{JudgedMessage, ParsedMessage},
};

/// An index past the end of every header; fits the signed 32 bits of both MTAs.
const PAST_THE_END: u32 = i32::MAX as u32;

/// One thing that the MTA is asked to change. Header values are raw, as in the message: what follows the colon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "modification")]
pub enum Modification {
    /// Replaces the value of a field.
    ChangeHeader {
        /// As received.
        #[serde(serialize_with = "as_text")]
        name: Bytes,
        /// Which of that name, from 1, as received.
        index: u32,
        /// New value.
        #[serde(serialize_with = "as_text")]
        value: Bytes,
    },
    /// Removes a field.
    DeleteHeader {
        /// As received.
        #[serde(serialize_with = "as_text")]
        name: Bytes,
        /// Which of that name, from 1, as received.
        index: u32,
    },
    /// Inserts a field.
    InsertHeader {
        /// 0: above all; anything past the end: below all.
        index: u32,
        /// Name.
        #[serde(serialize_with = "as_text")]
        name: Bytes,
        /// Value.
        #[serde(serialize_with = "as_text")]
        value: Bytes,
    },
    /// Adds a field below all others.
    AddHeader {
        /// Name.
        #[serde(serialize_with = "as_text")]
        name: Bytes,
        /// Value.
        #[serde(serialize_with = "as_text")]
        value: Bytes,
    },
    /// Replaces the whole body.
    ReplaceBody {
        /// New size in bytes.
        size: u64,
        /// New body.
        #[serde(skip)]
        body: Bytes,
    },
    /// Changes the envelope sender.
    ChangeSender {
        /// In angle brackets; `<>` for the null sender.
        address: String,
        /// ESMTP arguments.
        arguments: Vec<String>,
    },
    /// Removes an envelope recipient.
    RemoveRecipient {
        /// Exactly as received.
        address: String,
    },
    /// Adds an envelope recipient.
    AddRecipient {
        /// In angle brackets.
        address: String,
        /// ESMTP arguments.
        arguments: Vec<String>,
    },
    /// Holds the message back.
    Quarantine {
        /// One line of printable US-ASCII, at most 100 bytes.
        reason: String,
    },
}

/// All that the MTA is asked to do with a judged message before the final reply: nothing when it is not delivered.
#[must_use]
pub fn modifications_for(judged: &JudgedMessage) -> Vec<Modification> {
    match &judged.verdict {
        Verdict::Next | Verdict::Accept => modifications(&judged.received, &judged.message),
        Verdict::Quarantine { reason } => {
            let mut all = modifications(&judged.received, &judged.message);
            all.push(Modification::Quarantine { reason: one_line(reason) });
            all
        }
        Verdict::Reject(_) | Verdict::Tempfail(_) | Verdict::Discard => Vec::new(),
    }
}

/// The difference between a message as received and as the stages left it.
#[must_use]
pub fn modifications(received: &ParsedMessage, message: &ParsedMessage) -> Vec<Modification> {
    let mut all = Vec::new();
    headers(received.headers.entries(), message.headers.entries(), &mut all);
    if !received.same_body(message) && received.body != message.body {
        all.push(Modification::ReplaceBody { size: message.body.len() as u64, body: message.body.clone() });
    }
    sender(&received.envelope.sender, &message.envelope.sender, &mut all);
    recipients(&received.envelope.recipients, &message.envelope.recipients, &mut all);
    all
}

fn headers(received: &[Entry], judged: &[Entry], all: &mut Vec<Modification>) {
    let mut now: Vec<Option<&Entry>> = vec![None; received.len()];
    for entry in judged {
        if let Some(slot) = origin(entry, received).and_then(|place| now.get_mut(place)) {
            *slot = Some(entry);
        }
    }
    // From the last field to the first is also descending for each name.
    for ((place, old), new) in received.iter().enumerate().zip(&now).rev() {
        let name = old.field.name.clone();
        match new {
            Some(entry) if entry.field.value == old.field.value => {}
            Some(entry) => all.push(Modification::ChangeHeader {
                name,
                index: occurrence(received, place, &old.field),
                value: entry.field.value.clone(),
            }),
            None => all.push(Modification::DeleteHeader { name, index: occurrence(received, place, &old.field) }),
        }
    }
    let is_new = |entry: &&Entry| origin(entry, received).is_none();
    let on_top = judged.iter().take_while(is_new).count();
    let (top, below) = judged.split_at_checked(on_top).unwrap_or((&[], judged));
    for Entry { field, .. } in top.iter().rev() {
        all.push(Modification::InsertHeader { index: 0, name: field.name.clone(), value: field.value.clone() });
    }
    let added: Vec<&Field> = below.iter().filter(is_new).map(|entry| &entry.field).collect();
    for (number, field) in added.iter().enumerate() {
        let same = |other: &Field| other.name.eq_ignore_ascii_case(&field.name);
        let (name, value) = (field.name.clone(), field.value.clone());
        let exists = received.iter().chain(top).any(|entry| same(&entry.field))
            || added.iter().take(number).any(|earlier| same(earlier));
        all.push(if exists {
            Modification::InsertHeader { index: PAST_THE_END, name, value }
        } else {
            Modification::AddHeader { name, value }
        });
    }
}

/// The place among the received fields that an entry still holds. A field under another name is another field.
fn origin(entry: &Entry, received: &[Entry]) -> Option<usize> {
    let place = usize::try_from(entry.received?).ok()?;
    received.get(place).filter(|old| old.field.name.eq_ignore_ascii_case(&entry.field.name)).map(|_| place)
}

/// Which of its name a received field is, from 1.
fn occurrence(received: &[Entry], place: usize, field: &Field) -> u32 {
    let same = |entry: &&Entry| entry.field.name.eq_ignore_ascii_case(&field.name);
    let before = received.iter().take(place).filter(same).count();
    u32::try_from(before.saturating_add(1)).unwrap_or(PAST_THE_END)
}

fn sender(received: &Mailbox, judged: &Mailbox, all: &mut Vec<Modification>) {
    if received.address() != judged.address() || received.arguments != judged.arguments {
        all.push(Modification::ChangeSender { address: bracketed(judged), arguments: judged.arguments.clone() });
    }
}

fn recipients(received: &[Mailbox], judged: &[Mailbox], all: &mut Vec<Modification>) {
    let mut removed: Vec<&Mailbox> = Vec::new();
    for old in received {
        if !judged.contains(old) && !removed.iter().any(|gone| gone.raw == old.raw) {
            removed.push(old);
        }
    }
    let kept = |mailbox: &&Mailbox| received.contains(mailbox) && !removed.iter().any(|gone| gone.raw == mailbox.raw);
    // Postfix delivers twice to whom it is told twice.
    let mut known: Vec<&Mailbox> = judged.iter().filter(kept).collect();
    let mut added: Vec<&Mailbox> = Vec::new();
    for new in judged {
        if !known.iter().any(|known| known.same_address(new)) {
            known.push(new);
            added.push(new);
        }
    }
    all.extend(removed.iter().map(|old| Modification::RemoveRecipient { address: old.raw.clone() }));
    all.extend(
        added
            .iter()
            .map(|new| Modification::AddRecipient { address: bracketed(new), arguments: new.arguments.clone() }),
    );
}

fn bracketed(mailbox: &Mailbox) -> String {
    format!("<{}>", mailbox.address())
}

/// Postfix logs at most 100 characters of a reason.
fn one_line(reason: &str) -> String {
    let visible = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let line: String = reason.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(visible).take(100).collect();
    if line.is_empty() { "policy".to_owned() } else { line }
}

fn as_text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

impl fmt::Display for Modification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let arguments = |arguments: &[String]| arguments.iter().map(|a| format!(" {a}")).collect::<String>();
        match self {
            Self::ChangeHeader { name, index, value } => {
                write!(f, "change header {} ({index}) to {:?}", text(name), text(value))
            }
            Self::DeleteHeader { name, index } => write!(f, "delete header {} ({index})", text(name)),
            Self::InsertHeader { index: 0, name, value } => {
                write!(f, "insert header {} on top: {:?}", text(name), text(value))
            }
            Self::InsertHeader { name, value, .. } => {
                write!(f, "insert header {} at the end: {:?}", text(name), text(value))
            }
            Self::AddHeader { name, value } => write!(f, "add header {}: {:?}", text(name), text(value)),
            Self::ReplaceBody { size, .. } => write!(f, "replace body by {size} bytes"),
            Self::ChangeSender { address, arguments: list } => {
                write!(f, "change sender to {address}{}", arguments(list))
            }
            Self::RemoveRecipient { address } => write!(f, "remove recipient {address}"),
            Self::AddRecipient { address, arguments: list } => {
                write!(f, "add recipient {address}{}", arguments(list))
            }
            Self::Quarantine { reason } => write!(f, "quarantine: {reason}"),
        }
    }
}
