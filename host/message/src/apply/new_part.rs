//! Writing a new part: its header fields and its encoded content.

use crate::{
    decision::NewPart,
    eml::with_crlf,
    headers::Field,
    mime::{encoding, value},
};
use bytes::Bytes;

/// Longest line that is sent without encoding (RFC 5322 §2.1.1).
const LONGEST_LINE: usize = 998;

/// Bytes to write.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// The base64 of these bytes, in lines. Encoded only when it is written: attachments are large.
    Base64(Bytes),
}

impl Piece {
    /// The same bytes.
    pub(super) fn from(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// A part ready to be written.
pub(super) struct NewEntity {
    /// `Content-*` fields.
    pub(super) fields: Vec<Field>,
    /// Encoded content.
    pub(super) content: Piece,
    /// Whether there is no line end at the end of the content.
    pub(super) open_line: bool,
    /// Whether the content has bytes above 127.
    pub(super) eight_bit: bool,
    /// Whether the content has a line that one of the boundaries would take as its own.
    pub(super) collides: bool,
}

/// Encodes a part: text as quoted-printable, messages as they are (RFC 2046 §5.2.1), all else as base64. Text that
/// looks like a delimiter of one of the `boundaries` becomes base64.
pub(super) fn encode(part: &NewPart, boundaries: &[&[u8]]) -> NewEntity {
    let parsed = value::content_type(part.media_type.as_bytes());
    let media_type = parsed.media_type().unwrap_or_default();
    let text = media_type.starts_with("text/");
    let mut content_type = part.media_type.trim().to_owned();
    if text && parsed.parameter("charset").is_none() {
        content_type.push_str("; charset=utf-8");
    }
    let mut collides = false;
    let mut eight_bit = false;
    let mut name = "base64";
    let mut content = Piece::Base64(part.content.clone());
    let mut open_line = part.content.is_empty();
    if text {
        let quoted = encoding::encode_quoted_printable(&with_crlf(&part.content));
        if !has_delimiter(&quoted, boundaries) {
            name = "quoted-printable";
            open_line = !quoted.ends_with(b"\n");
            content = Piece::from(quoted);
        }
    } else if matches!(media_type.as_str(), "message/rfc822" | "message/global") {
        let message = with_crlf(&part.content);
        collides = has_delimiter(&message, boundaries);
        eight_bit = !message.is_ascii();
        name = transfer_encoding_of(&message);
        open_line = !message.ends_with(b"\n");
        content = Piece::Bytes(message);
    }
    let mut fields = vec![field("Content-Type", &content_type), field("Content-Transfer-Encoding", name)];
    if let Some(disposition) = disposition(part) {
        fields.push(field("Content-Disposition", &disposition));
    }
    if !part.content_id.is_empty() {
        fields.push(field("Content-ID", &format!("<{}>", part.content_id)));
    }
    NewEntity { fields, content, open_line, eight_bit, collides }
}

/// The value of Content-Disposition (RFC 2183); None when there is nothing to say.
fn disposition(part: &NewPart) -> Option<String> {
    match (part.disposition.as_str(), part.file_name.as_str()) {
        ("", "") => None,
        (kind, "") => Some(kind.to_owned()),
        ("", name) => Some(format!("attachment;{}", file_name(name))),
        (kind, name) => Some(format!("{kind};{}", file_name(name))),
    }
}

/// A field with that value, folded by CRLF already.
pub(super) fn field(name: &'static str, value: &str) -> Field {
    Field::new(name, format!(" {value}"))
}

/// Writes fields as they stand in a message.
pub(super) fn section(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&field.name);
        out.push(b':');
        out.extend_from_slice(&field.value);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Whether a line of `content` would be taken as a delimiter of one of the boundaries.
pub(super) fn has_delimiter(content: &[u8], boundaries: &[&[u8]]) -> bool {
    let is_delimiter = |line: &[u8]| {
        line.strip_prefix(b"--").is_some_and(|line| boundaries.iter().any(|boundary| line.starts_with(boundary)))
    };
    is_delimiter(content)
        || memchr::memmem::find_iter(content, b"\n--")
            .any(|at| content.get(at.saturating_add(1)..).is_some_and(is_delimiter))
}

/// Whether content may be sent as it is with one of these encodings, and which it then needs.
fn transfer_encoding_of(content: &[u8]) -> &'static str {
    if has_long_line(content) || content.contains(&0) {
        "binary"
    } else if content.is_ascii() {
        "7bit"
    } else {
        "8bit"
    }
}

/// Whether there is a line that must not be sent without encoding.
pub(super) fn has_long_line(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| line.len() > LONGEST_LINE)
}

/// The filename parameter (RFC 2231 when it is long or not US-ASCII), on lines of its own.
fn file_name(name: &str) -> String {
    if name.is_ascii() && name.len() <= 60 {
        return format!("\r\n filename=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let mut out = String::new();
    let mut number = 0_usize;
    let mut rest = name.bytes().peekable();
    while rest.peek().is_some() {
        out.push_str(if number == 0 { "" } else { ";" });
        out.push_str(&format!("\r\n filename*{number}*="));
        out.push_str(if number == 0 { "utf-8''" } else { "" });
        let mut length = 0_usize;
        while length < 48
            && let Some(byte) = rest.next()
        {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
                length = length.saturating_add(1);
            } else {
                out.push_str(&format!("%{byte:02X}"));
                length = length.saturating_add(3);
            }
        }
        number = number.saturating_add(1);
    }
    out
}

/// A raw Content-Type value with another charset parameter, everything else as it was.
pub(super) fn with_charset(raw: &[u8], charset: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len().saturating_add(20));
    let mut found = false;
    for (number, parameter) in split_parameters(raw).into_iter().enumerate() {
        if number > 0 {
            out.push(b';');
        }
        let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let name = name.split(|byte| *byte == b'*').next().unwrap_or_default();
        if number == 0 || !name.eq_ignore_ascii_case(b"charset") {
            out.extend_from_slice(parameter);
            continue;
        }
        if found {
            out.pop();
            continue;
        }
        found = true;
        let blank = parameter.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        out.extend_from_slice(parameter.get(..blank).unwrap_or_default());
        out.extend_from_slice(b"charset=");
        out.extend_from_slice(charset.as_bytes());
    }
    if !found {
        out.extend_from_slice(b"; charset=");
        out.extend_from_slice(charset.as_bytes());
    }
    out
}

/// Splits at the semicolons that are neither quoted nor in a comment. What stands behind the last one may be empty; it
/// is dropped then.
fn split_parameters(raw: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut depth, mut escaped) = (0_usize, false, 0_usize, false);
    for (place, byte) in raw.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth = depth.saturating_add(1),
            b')' if !quoted => depth = depth.saturating_sub(1),
            b';' if !quoted && depth == 0 => {
                parts.push(raw.get(start..place).unwrap_or_default());
                start = place.saturating_add(1);
            }
            _ => {}
        }
    }
    let last = raw.get(start..).unwrap_or_default();
    if parts.is_empty() || !last.trim_ascii().is_empty() {
        parts.push(last);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charset_parameter_is_exchanged_alone() {
        for (raw, expected) in [
            (" text/plain", " text/plain; charset=utf-8"),
            (" text/plain; charset=\"x;y\"; format=flowed", " text/plain; charset=utf-8; format=flowed"),
            (" text/plain;\r\n\tCHARSET=a;\r\n charset=b;", " text/plain;\r\n\tcharset=utf-8"),
            (
                " text/plain (a;b); name=\"\\\";charset=no\"",
                " text/plain (a;b); name=\"\\\";charset=no\"; charset=utf-8",
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&with_charset(raw.as_bytes(), "utf-8")), expected);
        }
    }

    #[test]
    fn file_names_come_back() {
        for name in ["a.txt", "a \"b\\c\".txt", "\u{4f60}\u{597d} und \u{e4}\u{f6}\u{fc}.pdf", &"x".repeat(300)] {
            let value = format!(" attachment;{}", file_name(name));
            assert!(value.split("\r\n").all(|line| line.len() < 78), "{value}");
            assert_eq!(value::disposition(value.as_bytes()).parameter("filename"), Some(name));
        }
    }

    #[test]
    fn text_like_a_delimiter_becomes_base64() {
        let part = |text: &'static str| NewPart {
            media_type: "text/plain".into(),
            content: Bytes::from_static(text.as_bytes()),
            ..NewPart::default()
        };
        assert!(matches!(encode(&part("a\n--b\n"), &[b"b"]).content, Piece::Base64(_)));
        assert!(matches!(encode(&part("a\n--b\n"), &[b"c"]).content, Piece::Bytes(_)));
    }

    #[test]
    fn disposition_and_content_id_are_written_as_told() {
        for (disposition, file_name, expected) in [
            ("", "", None),
            ("inline", "", Some(" inline")),
            ("attachment", "", Some(" attachment")),
            ("", "a.png", Some(" attachment;\r\n filename=\"a.png\"")),
            ("inline", "a.png", Some(" inline;\r\n filename=\"a.png\"")),
        ] {
            let part = NewPart {
                media_type: "image/png".into(),
                file_name: file_name.into(),
                disposition: disposition.into(),
                ..NewPart::default()
            };
            let fields = encode(&part, &[]).fields;
            let written = fields.iter().find(|field| *field.name == b"Content-Disposition"[..]);
            assert_eq!(written.map(|field| std::str::from_utf8(&field.value).unwrap()), expected);
            assert!(!fields.iter().any(|field| *field.name == b"Content-ID"[..]));
        }
        let part = NewPart { media_type: "image/png".into(), content_id: "a@b".into(), ..NewPart::default() };
        let fields = encode(&part, &[]).fields;
        let id = fields.iter().find(|field| *field.name == b"Content-ID"[..]).unwrap();
        assert_eq!(&id.value[..], b" <a@b>");
    }
}
