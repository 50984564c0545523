//! A judgement as milter replies.
//!
//! Everything is computed and checked before the first byte is written: the MTA takes each modification by itself, and
//! half of them would be a broken message. What can not be said makes the message fail for now.

use crate::{
    modification::{Modification, modifications_for},
    negotiate::Negotiated,
    smtp_reply::{on_the_wire, smtp_reply},
};
use bytes::Bytes;
use indymilter::{Actions, message::reply::Reply};
use std::ffi::CString;
use wasmilter_message::{decision::Verdict, message::JudgedMessage};

/// Largest piece of a body in one reply: libmilter's limit.
const CHUNK: usize = 65_535;

/// Why a judgement can not be told to the MTA.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsayable {
    #[error("mail server did not offer: {0}")]
    NotOffered(&'static str),
    #[error("malformed: {0}")]
    Malformed(&'static str),
    #[error("all recipients are removed, which would make the message vanish")]
    NoRecipients,
}

/// The replies to the end of a message: modifications in their order, then the one final reply.
pub(crate) fn judgement(judged: &JudgedMessage, negotiated: &Negotiated) -> Result<Vec<Reply>, Unsayable> {
    let delivers = matches!(judged.verdict, Verdict::Next | Verdict::Accept | Verdict::Quarantine { .. });
    if delivers && !judged.received.envelope.recipients.is_empty() && judged.message.envelope.recipients.is_empty() {
        return Err(Unsayable::NoRecipients);
    }
    let mut replies = Vec::new();
    for modification in modifications_for(judged) {
        encode(&modification, negotiated, &mut replies)?;
    }
    replies.push(verdict(&judged.verdict));
    Ok(replies)
}

/// The final reply to the end of a message.
pub(crate) fn verdict(verdict: &Verdict) -> Reply {
    match verdict {
        Verdict::Next | Verdict::Accept | Verdict::Quarantine { .. } => Reply::Accept,
        Verdict::Discard => Reply::Discard,
        Verdict::Reject(_) => refusal(&smtp_reply(verdict)).unwrap_or(Reply::Reject),
        Verdict::Tempfail(_) => refusal(&smtp_reply(verdict)).unwrap_or(Reply::Tempfail),
    }
}

/// A reply with that text; None for a text with NUL, which [`smtp_reply`] never gives.
pub(crate) fn refusal(text: &str) -> Option<Reply> {
    Some(Reply::ReplyCode { reply: CString::new(on_the_wire(text)).ok()? })
}

fn encode(modification: &Modification, negotiated: &Negotiated, replies: &mut Vec<Reply>) -> Result<(), Unsayable> {
    let needed = match modification {
        Modification::ChangeHeader { .. } | Modification::DeleteHeader { .. } => Actions::CHANGE_HEADER,
        Modification::InsertHeader { .. } | Modification::AddHeader { .. } => Actions::ADD_HEADER,
        Modification::ReplaceBody { .. } => Actions::REPLACE_BODY,
        Modification::ChangeSender { .. } => Actions::CHANGE_SENDER,
        Modification::RemoveRecipient { .. } => Actions::DELETE_RCPT,
        Modification::AddRecipient { arguments, .. } if arguments.is_empty() => Actions::ADD_RCPT,
        Modification::AddRecipient { .. } => Actions::ADD_RCPT_EXT,
        Modification::Quarantine { .. } => Actions::QUARANTINE,
    };
    if !negotiated.actions.contains(needed) {
        return Err(Unsayable::NotOffered(kind(modification)));
    }
    let malformed = || Unsayable::Malformed(kind(modification));
    let index = |index: u32| i32::try_from(index).map_err(|_| malformed());
    let value = |value: &Bytes| wire_value(value, negotiated.leading_space()).ok_or_else(malformed);
    replies.push(match modification {
        Modification::ChangeHeader { name, index: number, value: raw } => {
            let mut value = value(raw)?;
            if value.is_empty() {
                // An empty value means deletion.
                value = c" ".to_owned();
            }
            Reply::ChangeHeader { name: received_name(name).ok_or_else(malformed)?, index: index(*number)?, value }
        }
        Modification::DeleteHeader { name, index: number } => Reply::ChangeHeader {
            name: received_name(name).ok_or_else(malformed)?,
            index: index(*number)?,
            value: CString::default(),
        },
        Modification::InsertHeader { index: number, name, value: raw } => Reply::InsertHeader {
            index: index(*number)?,
            name: new_name(name).ok_or_else(malformed)?,
            value: value(raw)?,
        },
        Modification::AddHeader { name, value: raw } => {
            Reply::AddHeader { name: new_name(name).ok_or_else(malformed)?, value: value(raw)? }
        }
        Modification::ReplaceBody { body, .. } => {
            // One empty piece makes the body empty.
            replies.push(Reply::ReplaceBody { chunk: body.slice(..body.len().min(CHUNK)) });
            let mut rest = body.slice(body.len().min(CHUNK)..);
            while !rest.is_empty() {
                replies.push(Reply::ReplaceBody { chunk: rest.split_to(rest.len().min(CHUNK)) });
            }
            return Ok(());
        }
        Modification::ChangeSender { address, arguments } => Reply::ChangeSender {
            mail: address_text(address).ok_or_else(malformed)?,
            args: arguments_text(arguments).ok_or_else(malformed)?,
        },
        Modification::RemoveRecipient { address } => {
            Reply::DeleteRcpt { rcpt: address_text(address).ok_or_else(malformed)? }
        }
        Modification::AddRecipient { address, arguments } => {
            let rcpt = address_text(address).ok_or_else(malformed)?;
            match arguments_text(arguments).ok_or_else(malformed)? {
                None => Reply::AddRcpt { rcpt },
                args => Reply::AddRcptExt { rcpt, args },
            }
        }
        Modification::Quarantine { reason } => {
            Reply::Quarantine { reason: CString::new(reason.as_str()).map_err(|_| malformed())? }
        }
    });
    Ok(())
}

/// What kind of modification it was, without content of the message: for the log.
fn kind(modification: &Modification) -> &'static str {
    match modification {
        Modification::ChangeHeader { .. } | Modification::DeleteHeader { .. } => "change of a header field",
        Modification::InsertHeader { .. } | Modification::AddHeader { .. } => "new header field",
        Modification::ReplaceBody { .. } => "new body",
        Modification::ChangeSender { .. } => "new sender",
        Modification::RemoveRecipient { .. } | Modification::AddRecipient { .. } => "recipient",
        Modification::Quarantine { .. } => "quarantine",
    }
}

/// A field's name by RFC 5322 §3.6.8: printable US-ASCII but the colon.
fn new_name(name: &Bytes) -> Option<CString> {
    let valid = !name.is_empty() && name.iter().all(|b| matches!(b, 33..=126) && *b != b':');
    CString::new(name.to_vec()).ok().filter(|_| valid)
}

/// A name that the MTA itself gave may be stranger, as long as it can not end the line.
fn received_name(name: &Bytes) -> Option<CString> {
    let valid = !name.is_empty() && !name.iter().any(|b| matches!(b, b'\r' | b'\n' | b':'));
    CString::new(name.to_vec()).ok().filter(|_| valid)
}

/// A raw value as the MTA wants it: lines end in LF, and each further line begins with white space. Without
/// `leading_space` the MTA writes the space after the colon itself. None for a value with NUL.
fn wire_value(raw: &Bytes, leading_space: bool) -> Option<CString> {
    let raw = if leading_space { raw } else { raw.strip_prefix(b" ").unwrap_or(raw) };
    let mut wire = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if !matches!(byte, b'\r' | b'\n') {
            wire.push(byte);
            continue;
        }
        bytes.next_if(|next| byte == b'\r' && *next == b'\n');
        wire.push(b'\n');
        if !matches!(bytes.peek(), Some(b' ' | b'\t')) {
            wire.push(b'\t');
        }
    }
    CString::new(wire).ok()
}

/// An address that can not smuggle anything into an SMTP command. One that came with bytes that are no UTF-8 has lost them
/// (U+FFFD stands in their place), and the MTA would take it for another.
fn address_text(address: &str) -> Option<CString> {
    let valid = !address.bytes().any(|b| b < b' ' || b == 0x7f) && !address.contains(char::REPLACEMENT_CHARACTER);
    CString::new(address).ok().filter(|_| valid)
}

/// All arguments as one string: Postfix refuses several, Sendmail ignores them. None inside for none.
fn arguments_text(arguments: &[String]) -> Option<Option<CString>> {
    if arguments.is_empty() {
        return Some(None);
    }
    let valid = arguments.iter().all(|argument| argument.bytes().all(|b| b > b' ' && b != 0x7f));
    CString::new(arguments.join(" ")).ok().filter(|_| valid).map(Some)
}
