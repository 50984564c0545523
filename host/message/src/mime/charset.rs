//! Character sets: from and to UTF-8, by the names that mail uses (RFC 2978), through encoding_rs.

use encoding_rs::{CoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Decodes `bytes` as far as needed for at most `limit` bytes of UTF-8, cut between characters. A charset that is
/// missing or not known is taken as UTF-8 where the bytes are that, otherwise as windows-1252.
#[must_use]
pub fn decode(bytes: &[u8], charset: &str, limit: usize) -> String {
    let Some(encoding) = known(charset) else {
        // UTF-7 (RFC 2152), which no browser speaks any more but old mail does.
        if let Some(decoder) = charset_decoder(charset.as_bytes()) {
            let enough = limit.saturating_mul(4).max(64);
            return cut(decoder(bytes.get(..enough).unwrap_or(bytes)), limit);
        }
        return with_encoding(bytes, guess(bytes), limit);
    };
    // US-ASCII is a subset of what such mail often really is.
    let ascii = charset.eq_ignore_ascii_case("us-ascii") || charset.eq_ignore_ascii_case("ascii");
    with_encoding(bytes, if ascii { guess(bytes) } else { encoding }, limit)
}

/// The encoding of that name.
#[must_use]
pub fn known(charset: &str) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(charset.trim().as_bytes())
}

/// Encodes `text`; None when the charset is not known, can not carry the text, or can not be written (UTF-16).
#[must_use]
pub fn encode<'a>(text: &'a str, charset: &str) -> Option<Cow<'a, [u8]>> {
    if text.is_ascii() && (charset.is_empty() || charset.eq_ignore_ascii_case("us-ascii")) {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    if charset.is_empty() || charset.eq_ignore_ascii_case("us-ascii") || charset.eq_ignore_ascii_case("ascii") {
        return None;
    }
    let encoding = known(charset).filter(|found| *found != UTF_16BE && *found != UTF_16LE)?;
    let (bytes, _, unmappable) = encoding.encode(text);
    (!unmappable).then_some(bytes)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 }
}

fn with_encoding(bytes: &[u8], encoding: &'static Encoding, limit: usize) -> String {
    // One step more than the limit, so that a character that straddles it is seen whole and left out whole.
    const STEP: usize = 8 << 10;
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut text = String::new();
    let mut chunks = bytes.chunks(STEP).peekable();
    while let Some(chunk) = chunks.next() {
        let last = chunks.peek().is_none();
        let mut rest = chunk;
        loop {
            text.reserve(decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len()));
            let (result, read, _) = decoder.decode_to_string(rest, &mut text, last);
            rest = rest.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                break;
            }
        }
        if text.len() > limit {
            break;
        }
    }
    cut(text, limit)
}

/// At most `limit` bytes, cut between characters.
fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_of_mail() {
        for (bytes, charset, text) in [
            (&b"Gr\xfc\xdfe"[..], "iso-8859-1", "Gr\u{fc}\u{df}e"),
            (b"\x1b$B%O%m!<\x1b(B", "iso-2022-jp", "\u{30cf}\u{30ed}\u{30fc}"),
            (b"\xc4\xe3\xba\xc3", "gb18030", "\u{4f60}\u{597d}"),
            (b"\xf0\xd2\xc9\xd7\xc5\xd4", "koi8-r", "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}"),
            (b"\x93a\x94", "windows-1252", "\u{201c}a\u{201d}"),
            (b"Gr\xc3\xbc", "", "Gr\u{fc}"),
            (b"Gr\xfc", "us-ascii", "Gr\u{fc}"),
            (b"Gr\xfc", "x-nobody-knows", "Gr\u{fc}"),
            (b"Hi +AOQ-!", "utf-7", "Hi \u{e4}!"),
        ] {
            assert_eq!(decode(bytes, charset, 1000), text, "{charset}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(decode("a\u{e4}b".as_bytes(), "utf-8", 2), "a");
        assert_eq!(decode("a\u{e4}b".as_bytes(), "utf-8", 3), "a\u{e4}");
        assert_eq!(decode(b"abc", "utf-8", 0), "");
        assert_eq!(decode("\u{e4}".repeat(20_000).as_bytes(), "utf-8", 30_001).len(), 30_000);
    }

    #[test]
    fn what_a_charset_can_not_carry_is_not_encoded() {
        assert_eq!(encode("\u{e4}", "iso-8859-1").as_deref(), Some(&b"\xe4"[..]));
        assert_eq!(encode("\u{4f60}", "iso-8859-1"), None);
        assert_eq!(encode("\u{e4}", "us-ascii"), None);
        assert_eq!(encode("a", "").as_deref(), Some(&b"a"[..]));
        assert_eq!(encode("a", "utf-16"), None);
    }
}
