//! A message in a file (RFC 5322), as `wasmilter try` and the tests read it.

use crate::{
    headers::Field,
    mime::section::{self, Line},
};
use bytes::{Bytes, BytesMut};

/// Splits the message in `bytes` into header fields and body, lines ended by CRLF. Lines may be ended by CRLF or LF; a
/// leading mbox line (`From …`) is dropped. Does what an MTA does: at the first line that is no header field the body
/// begins, with or without an empty line; white space before a colon goes. Never fails.
#[must_use]
pub fn read(bytes: &[u8]) -> (Vec<Field>, Bytes) {
    let message = with_crlf(without_mbox_line(bytes));
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        match section::line_at(&message, at) {
            Line::Field { name, value, next } => {
                fields.push(Field::new(message.slice(name), message.slice(value)));
                at = next;
            }
            Line::Empty { next } => return (fields, message.slice(next.min(message.len())..)),
            Line::Other | Line::End => return (fields, message.slice(at.min(message.len())..)),
        }
    }
}

fn without_mbox_line(bytes: &[u8]) -> &[u8] {
    if bytes.starts_with(b"From ") || bytes.starts_with(b">From ") {
        bytes.get(section::after_line(bytes, 0)..).unwrap_or_default()
    } else {
        bytes
    }
}

/// The same with CRLF where there was a bare LF.
#[must_use]
pub fn with_crlf(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len().saturating_add(bytes.len() / 32));
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            text => out.extend_from_slice(text),
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ParsedMessage, ReceivedMessage};

    fn written(bytes: &[u8]) -> Vec<u8> {
        let (headers, body) = read(bytes);
        let message = ParsedMessage::new(ReceivedMessage { headers, body, ..ReceivedMessage::default() });
        let mut out = Vec::new();
        message.write_to(&mut out).unwrap();
        assert_eq!(message.raw_size(), out.len() as u64);
        out
    }

    #[test]
    fn messages_come_back_as_they_went_in() {
        for message in
            [&b"A: 1\r\nB:\r\n\t2\r\n\r\nbody\r\n"[..], b"A: 1\r\n\r\n", b"\r\nbody", b"A: \xff\0\r\n\r\n\r\n\r\n.\r\n"]
        {
            assert_eq!(written(message), message);
        }
    }

    #[test]
    fn line_ends_and_mbox_lines_are_made_right() {
        assert_eq!(written(b"From x y\nA: 1\nB: 2\n\nbody\rx\n"), b"A: 1\r\nB: 2\r\n\r\nbody\rx\r\n");
        assert_eq!(written(b">From x\r\nA: 1"), b"A: 1\r\n\r\n");
        assert_eq!(written(b""), b"\r\n");
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body() {
        let (fields, body) = read(b"A: 1\nno field\nB: 2\n");
        assert_eq!((fields.len(), &body[..]), (1, &b"no field\r\nB: 2\r\n"[..]));
        let (fields, body) = read(b"just text");
        assert_eq!((fields.len(), &body[..]), (0, &b"just text"[..]));
    }
}
