//! Writing a subject: encoded words (RFC 2047) and folding.

use crate::mime::{charset as charsets, encoding};

/// Longest line that is written (RFC 5322 §2.1.1 asks for 78; RFC 2047 §2 for 76).
const LINE: usize = 76;

/// Longest encoded word (RFC 2047 §2).
const WORD: usize = 75;

/// Longest line that may be left without encoding, when there is no place to fold it.
const LONGEST_LINE: usize = 900;

/// `Subject: `.
const NAME: usize = 9;

/// The charset of the first encoded word in a raw value.
pub(super) fn charset(raw: &[u8]) -> Option<&str> {
    let start = memchr::memmem::find(raw, b"=?")?.checked_add(2)?;
    let rest = raw.get(start..)?;
    let name = rest.get(..memchr::memchr(b'?', rest)?)?;
    // RFC 2231 §5: the language follows a star.
    let name = name.split(|byte| *byte == b'*').next()?;
    std::str::from_utf8(name).ok().filter(|name| charsets::known(name).is_some())
}

/// The value of a Subject field with that text; encoded in `charset` where that can carry it, otherwise in UTF-8; US-ASCII
/// stays as it is. Folded with LF.
pub(super) fn encode(text: &str, charset: Option<&str>) -> String {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic());
    if plain
        && !text.contains("=?")
        && let Some(folded) = fold(text)
    {
        return folded;
    }
    match charset.filter(|charset| charsets::encode(text, charset).is_some()) {
        Some(charset) => encoded_words(text, charset),
        None => encoded_words(text, "utf-8"),
    }
}

/// Folds at spaces; None when a line would stay longer than [`LONGEST_LINE`].
fn fold(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut column = NAME;
    for (number, word) in text.split(' ').enumerate() {
        let width = word.len().saturating_add(usize::from(number > 0));
        if number > 0 {
            // An empty word means several spaces: a fold there could leave a line of white space.
            if column.saturating_add(width) > LINE && !word.is_empty() && !word.starts_with('\t') {
                out.push('\n');
                column = 0;
            }
            out.push(' ');
        }
        out.push_str(word);
        column = column.saturating_add(width);
        if column > LONGEST_LINE {
            return None;
        }
    }
    Some(out)
}

fn encoded_words(text: &str, charset: &str) -> String {
    let base64 = use_base64(text, charset);
    let frame = charset.len().saturating_add("=??b??=".len());
    let mut out = String::new();
    let mut column = NAME;
    let mut chunk = String::new();
    let mut encoded = String::new();
    for character in text.chars() {
        chunk.push(character);
        let longer = word_content(&chunk, charset, base64);
        let room = WORD.min(LINE.saturating_sub(column)).saturating_sub(frame);
        if longer.len() > room && chunk.len() > character.len_utf8() {
            push_word(&mut out, charset, base64, &encoded);
            column = 1;
            chunk.clear();
            chunk.push(character);
            encoded = word_content(&chunk, charset, base64);
        } else {
            encoded = longer;
        }
    }
    if !chunk.is_empty() {
        push_word(&mut out, charset, base64, &encoded);
    }
    out
}

fn push_word(out: &mut String, charset: &str, base64: bool, content: &str) {
    if !out.is_empty() {
        out.push_str("\n ");
    }
    out.push_str("=?");
    out.push_str(charset);
    out.push_str(if base64 { "?B?" } else { "?Q?" });
    out.push_str(content);
    out.push_str("?=");
}

fn word_content(text: &str, charset: &str, base64: bool) -> String {
    let bytes = charsets::encode(text, charset).unwrap_or(std::borrow::Cow::Borrowed(text.as_bytes()));
    if base64 { encoding::base64_of(&bytes) } else { encoding::q_of(&bytes) }
}

/// Q while most of the text stays readable in it; escape sequences of ISO 2022 are not for Q.
fn use_base64(text: &str, charset: &str) -> bool {
    let stateful = charset.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("iso-2022"));
    let bytes = charsets::encode(text, charset).unwrap_or(std::borrow::Cow::Borrowed(text.as_bytes()));
    stateful || encoding::q_of(&bytes).len().saturating_mul(2) > bytes.len().saturating_mul(5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::value;

    fn round_trip(text: &str, charset: Option<&str>) -> String {
        let value = encode(text, charset);
        assert!(value.is_ascii(), "{value}");
        for (number, line) in value.split('\n').enumerate() {
            assert!(number == 0 || (line.starts_with(' ') && !line.trim().is_empty()), "{value:?}");
            assert!(line.len() <= 78, "{line}");
        }
        assert_eq!(value::text(value.as_bytes()), text);
        value
    }

    #[test]
    fn ascii_stays_readable() {
        assert_eq!(round_trip("Hello you", None), "Hello you");
        assert_eq!(round_trip("=?what", None), "=?utf-8?Q?=3D=3Fwhat?=");
        let long = round_trip("word ".repeat(50).trim_end(), None);
        assert!(long.contains('\n') && !long.contains("=?"));
        assert!(round_trip(&"x".repeat(2000), None).starts_with("=?utf-8?Q?"));
    }

    #[test]
    fn the_old_charset_is_kept_where_it_can() {
        assert!(round_trip("Gr\u{fc}\u{df}e", Some("iso-8859-1")).starts_with("=?iso-8859-1?Q?Gr=FC"));
        assert!(round_trip("\u{4f60}", Some("iso-8859-1")).starts_with("=?utf-8?"));
        assert!(round_trip("\u{30cf}\u{30ed}\u{30fc}", Some("iso-2022-jp")).starts_with("=?iso-2022-jp?B?"));
        assert!(round_trip(&"\u{30cf}\u{30ed}\u{30fc}".repeat(40), Some("iso-2022-jp")).contains("?=\n =?"));
        round_trip("\u{1f600} a ".repeat(40).trim_end(), None);
    }

    #[test]
    fn the_charset_of_the_old_subject_is_found() {
        assert_eq!(charset(b" Re: =?ISO-8859-1*de?Q?x?="), Some("ISO-8859-1"));
        assert_eq!(charset(b" =?x-none?Q?x?="), None);
        assert_eq!(charset(b" plain"), None);
    }
}
