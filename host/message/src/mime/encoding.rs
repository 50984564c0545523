//! Content-Transfer-Encoding (RFC 2045 §6): lenient decoding, exact encoding.

use super::{Decoded, Defect};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// A transfer encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary; and, with `known` false, whatever we do not know.
    Identity {
        /// Whether it is one of RFC 2045.
        known: bool,
    },
    /// RFC 2045 §6.8.
    Base64,
    /// RFC 2045 §6.7.
    QuotedPrintable,
}

impl Encoding {
    /// The encoding of that name, in lower case.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity { known: matches!(name, "7bit" | "8bit" | "binary") },
        }
    }
}

/// Decodes `content`. Never fails: what does not belong there is skipped (base64) or taken literally.
pub(crate) fn decode(content: Bytes, encoding: Encoding) -> Decoded {
    match encoding {
        Encoding::Identity { .. } => Decoded { bytes: content, defect: None },
        Encoding::Base64 => {
            let (bytes, clean) = decode_base64(&content);
            Decoded { bytes: bytes.into(), defect: (!clean).then_some(Defect::InvalidBase64) }
        }
        Encoding::QuotedPrintable => {
            let (bytes, clean) = decode_quoted_printable(&content);
            Decoded { bytes: bytes.into(), defect: (!clean).then_some(Defect::InvalidQuotedPrintable) }
        }
    }
}

/// Decodes base64; false when something was skipped. Padding ends a quantum, not the content: some programs join
/// encoded pieces, and some recipients' programs read on.
pub(crate) fn decode_base64(content: &[u8]) -> (Vec<u8>, bool) {
    if let Some(bytes) = decode_right_base64(content) {
        return (bytes, true);
    }
    if let Some(bytes) = mail_parser::decoders::base64::base64_decode(content) {
        return (bytes, true);
    }
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let kept: Vec<u8> = content.iter().copied().filter(belongs).collect();
    (mail_parser::decoders::base64::base64_decode(&kept).unwrap_or_default(), false)
}

/// What is right, and that is nearly all, 32 bytes at once; None for anything else.
fn decode_right_base64(content: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, end) = rest.split_at_checked(at)?;
        bytes.extend_from_slice(line);
        rest = end.strip_prefix(b"\r\n").or_else(|| end.get(1..))?;
    }
    bytes.extend_from_slice(rest);
    let length = base64_simd::forgiving_decode_inplace(&mut bytes).ok()?.len();
    bytes.truncate(length);
    // A quarter of it was for what is not there any more.
    bytes.shrink_to_fit();
    Some(bytes)
}

/// Decodes quoted-printable; false when an escape was none. White space at line ends goes (RFC 2045 §6.7 rule 3).
pub(crate) fn decode_quoted_printable(content: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(content.len());
    let mut clean = true;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = match line {
            [text @ .., b'\r', b'\n'] => (text, &b"\r\n"[..]),
            [text @ .., b'\n'] => (text, &b"\n"[..]),
            text => (text, &b""[..]),
        };
        let mut rest = trim_blanks(text);
        let mut end = end;
        while let Some(at) = memchr::memchr(b'=', rest) {
            let (before, escape) = rest.split_at_checked(at).unwrap_or((rest, b""));
            out.extend_from_slice(before);
            match escape {
                [_] => {
                    // A soft line break.
                    end = b"";
                    rest = b"";
                }
                [_, high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push(hex(*high) << 4 | hex(*low));
                    rest = after;
                }
                [equals, after @ ..] => {
                    clean = false;
                    out.push(*equals);
                    rest = after;
                }
                [] => break,
            }
        }
        out.extend_from_slice(rest);
        out.extend_from_slice(end);
    }
    (out, clean)
}

fn trim_blanks(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit & 0x0f,
        // A to F and a to f end in 1 to 6.
        _ => (digit & 0x0f).saturating_add(9),
    }
}

/// base64 without line ends.
pub(crate) fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The Q encoding of an encoded word (RFC 2047 §4.2), in the alphabet that is allowed everywhere.
pub(crate) fn q_of(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => out.push('_'),
            plain if plain.is_ascii_alphanumeric() || b"!*+-/".contains(plain) => out.push(char::from(*plain)),
            other => push_escape(&mut out, *other),
        }
    }
    out
}

/// `bytes` as base64 in lines of 76 characters, each ended by CRLF.
pub(crate) fn encode_base64(bytes: &[u8]) -> Vec<u8> {
    // 57 bytes make a line of 76 characters.
    let mut out = String::with_capacity(bytes.len().div_ceil(57).saturating_mul(78));
    for line in bytes.chunks(57) {
        STANDARD.encode_string(line, &mut out);
        out.push_str("\r\n");
    }
    out.into_bytes()
}

/// `bytes` as quoted-printable text: lines are ended by CRLF, and stay lines; other CR and LF are escaped.
pub(crate) fn encode_quoted_printable(bytes: &[u8]) -> Vec<u8> {
    // A line has at most 76 characters with the equals sign of its soft end.
    const LINE: usize = 75;
    let mut out = String::with_capacity(bytes.len().saturating_add(bytes.len() / 8));
    let mut column = 0_usize;
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'\r' && rest.first() == Some(&b'\n') {
            rest = rest.get(1..).unwrap_or_default();
            out.push_str("\r\n");
            column = 0;
            continue;
        }
        let at_line_end = rest.is_empty() || rest.starts_with(b"\r\n");
        let literal = match byte {
            b' ' | b'\t' => !at_line_end,
            b'=' => false,
            byte => byte.is_ascii_graphic(),
        };
        let width = if literal { 1 } else { 3 };
        if column.saturating_add(width) > LINE {
            out.push_str("=\r\n");
            column = 0;
        }
        if literal {
            out.push(char::from(*byte));
        } else {
            push_escape(&mut out, *byte);
        }
        column = column.saturating_add(width);
    }
    out.into_bytes()
}

fn push_escape(out: &mut String, byte: u8) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
    out.push('=');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 0x0f));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_read_leniently() {
        assert_eq!(decode_base64(b"SGVs\r\nbG8=\r\n"), (b"Hello".to_vec(), true));
        assert_eq!(decode_base64(b"SGVs!bG8="), (b"Hello".to_vec(), false));
        assert_eq!(decode_base64(b"SGVsbG8=SGVsbG8="), (b"HelloHello".to_vec(), true));
        assert_eq!(decode_base64(b""), (Vec::new(), true));
    }

    proptest! {
        #[test]
        fn base64_is_read_the_same_fast_and_slowly(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            line in 1_usize..80,
            padded: bool,
            damaged in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let text = STANDARD.encode(&bytes);
            let text = if padded { text.as_str() } else { text.trim_end_matches('=') };
            let mut written = text.as_bytes().chunks(line).collect::<Vec<_>>().join(&b"\r\n"[..]);
            match damaged {
                Some((at, byte)) if !written.is_empty() => *at.get_mut(&mut written) = byte,
                _ => prop_assert_eq!(decode_base64(&written), (bytes, true)),
            }
            if let Some(fast) = decode_right_base64(&written) {
                prop_assert_eq!(Some(fast), mail_parser::decoders::base64::base64_decode(&written));
            }
        }
    }

    #[test]
    fn quoted_printable_is_read_leniently() {
        assert_eq!(decode_quoted_printable(b"a=3Db=\r\nc  \r\nd=c3\n"), (b"a=bc\r\nd\xc3\n".to_vec(), true));
        assert_eq!(decode_quoted_printable(b"a=zz=4"), (b"a=zz=4".to_vec(), false));
        assert_eq!(decode_quoted_printable(b"a= \r\nb="), (b"ab".to_vec(), true));
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let every: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(decode_base64(&encode_base64(&every)), (every.clone(), true));
        let text = b"a=b \r\n\tx\t\r\n\r\n..\r\n";
        for content in [&every[..], text, &b"x".repeat(300), &b" ".repeat(300), b"bare\rand\nend "] {
            let encoded = encode_quoted_printable(content);
            assert!(encoded.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
            assert_eq!(decode_quoted_printable(&encoded), (content.to_vec(), true));
        }
    }
}
