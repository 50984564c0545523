//! Values of header fields: parameters (RFC 2045, 2231), encoded words (RFC 2047), addresses (RFC 5322 §3.4).
//!
//! mail-parser reads the values; names of fields never come from it, because it is lenient about them. Every value is
//! cut to a bound first, so that nobody can make a field cost more than its bytes are worth.

use mail_parser::{Address, HeaderValue, parsers::MessageStream};

/// Bytes of a Content-Type or Content-Disposition that are looked at.
const MAX_STRUCTURED: usize = 16 << 10;

/// Bytes of an address list that are looked at: thousands of recipients fit.
const MAX_ADDRESSES: usize = 512 << 10;

/// Bytes of an unstructured value that are looked at. MTAs cut header fields at 60 to 100 kB.
const MAX_TEXT: usize = 256 << 10;

/// A value with parameters, as of Content-Type and Content-Disposition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    word: String,
    subtype: Option<String>,
    /// Whether something stands between subtype and parameters that does not belong there, such as a parameter whose
    /// semicolon was forgotten.
    clutter: bool,
    parameters: Vec<(String, String)>,
}

impl Parameterised {
    /// What stands before the parameters (of a media type the part before the slash), in lower case.
    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    /// Decoded value of a parameter, named in lower case; of several the first.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is a well-formed media type.
    pub(crate) fn is_media_type(&self) -> bool {
        !self.clutter && self.media_type().is_some()
    }

    /// `type/subtype`, when it can be made out.
    pub(crate) fn media_type(&self) -> Option<String> {
        let subtype = self.subtype.as_ref().filter(|subtype| is_token(&self.word) && is_token(subtype))?;
        Some(format!("{}/{subtype}", self.word))
    }
}

/// Reads the value of a Content-Type field.
pub(crate) fn content_type(value: &[u8]) -> Parameterised {
    parameterised(value)
}

/// Reads the value of a Content-Disposition field.
pub(crate) fn disposition(value: &[u8]) -> Parameterised {
    let mut found = parameterised(value);
    if !is_token(&found.word) {
        found.word.clear();
    }
    found
}

fn parameterised(value: &[u8]) -> Parameterised {
    let line = as_line(value, MAX_STRUCTURED);
    let HeaderValue::ContentType(found) = MessageStream::new(&line).parse_content_type() else {
        return Parameterised::default();
    };
    let lower = |text: &str| text.trim().to_ascii_lowercase();
    let mut subtype = found.c_subtype.as_deref().map(lower);
    let mut clutter = false;
    if let Some(subtype) = &mut subtype
        && let Some(end) = subtype.find(|character: char| !u8::try_from(character).is_ok_and(is_token_byte))
    {
        subtype.truncate(end);
        clutter = true;
    }
    Parameterised {
        word: lower(&found.c_type),
        subtype,
        clutter,
        parameters: found
            .attributes
            .unwrap_or_default()
            .into_iter()
            .map(|attribute| (attribute.name.into_owned(), attribute.value.into_owned()))
            .collect(),
    }
}

/// Reads a value that is one word, such as a transfer encoding, in lower case; what follows it is ignored.
pub(crate) fn token(value: &[u8]) -> String {
    let value = value.trim_ascii_start();
    let end = value.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).to_ascii_lowercase()
}

/// The text of a value as people read it: unfolded, trimmed, encoded words decoded.
pub(crate) fn text(value: &[u8]) -> String {
    let mut line = join_words(&as_line(value, MAX_TEXT));
    if std::str::from_utf8(&line).is_err() {
        // Not allowed (RFC 6532 wants UTF-8), but old programs write it, most often in this charset.
        line = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&line).0.into_owned().into_bytes();
    }
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// Display name and address of all mailboxes of an address list; groups are flattened.
pub(crate) fn addresses(value: &[u8]) -> Vec<(String, String)> {
    let line = join_words(&as_line(value, MAX_ADDRESSES));
    let list = match MessageStream::new(&line).parse_address() {
        HeaderValue::Address(Address::List(list)) => list,
        HeaderValue::Address(Address::Group(groups)) => groups.into_iter().flat_map(|group| group.addresses).collect(),
        _ => Vec::new(),
    };
    list.into_iter()
        .map(|found| {
            (found.name.unwrap_or_default().trim().to_owned(), found.address.unwrap_or_default().trim().to_owned())
        })
        .collect()
}

/// An id without its angle brackets.
pub(crate) fn without_angle_brackets(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id).trim()
}

/// Whether text is a token (RFC 2045 §5.1).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?="#.contains(&byte)
}

/// The form that mail-parser reads: without the folds' line ends, ended by a single one.
fn as_line(value: &[u8], limit: usize) -> Vec<u8> {
    let value = value.get(..limit).unwrap_or(value);
    let mut line = Vec::with_capacity(value.len().saturating_add(1));
    line.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    line.push(b'\n');
    line
}

/// The same with encoded words that follow each other in one charset and encoding made one: many programs cut text
/// into words in the middle of a character, which RFC 2047 §5 forbids.
fn join_words(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut previous: Option<EncodedWord<'_>> = None;
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        // White space between two encoded words goes (RFC 2047 §6.2).
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let after_blanks = rest.get(blanks..).unwrap_or_default();
        let word = EncodedWord::at(after_blanks);
        if let (Some(before), Some(word)) = (&previous, &word)
            && before.joins(word)
            && out.ends_with(b"?=")
        {
            out.truncate(out.len().saturating_sub(2));
            out.extend_from_slice(word.content);
            out.extend_from_slice(b"?=");
            at = at.saturating_add(blanks).saturating_add(word.length);
            continue;
        }
        let taken = match &word {
            Some(word) => blanks.saturating_add(word.length),
            // Up to the next place where a word could begin.
            None => {
                let next = memchr::memchr3(b' ', b'\t', b'=', after_blanks.get(1..).unwrap_or_default());
                next.map_or(rest.len(), |next| blanks.saturating_add(next).saturating_add(1))
            }
        };
        out.extend_from_slice(rest.get(..taken).unwrap_or(rest));
        at = at.saturating_add(taken);
        previous = word;
    }
    out
}

/// `=?charset?encoding?content?=`
struct EncodedWord<'a> {
    charset: &'a [u8],
    encoding: u8,
    content: &'a [u8],
    length: usize,
}

impl<'a> EncodedWord<'a> {
    /// Longest that is recognised. RFC 2047 allows 75; real ones are longer.
    const LONGEST: usize = 1000;

    /// The encoded word that `text` begins with.
    fn at(text: &'a [u8]) -> Option<Self> {
        let text = text.get(..Self::LONGEST).unwrap_or(text);
        let mut fields = text.strip_prefix(b"=?")?.splitn(3, |byte| *byte == b'?');
        let (charset, encoding, rest) = (fields.next()?, fields.next()?, fields.next()?);
        let encoding = *encoding.first().filter(|_| encoding.len() == 1)?;
        let content = rest.get(..memchr::memmem::find(rest, b"?=")?)?;
        if charset.is_empty() || !charset.iter().chain(content).all(u8::is_ascii_graphic) {
            return None;
        }
        // Two characters of start, three question marks, the encoding and the end.
        let length = charset.len().checked_add(content.len())?.checked_add(7)?;
        Some(Self { charset, encoding, content, length })
    }

    /// Not in the ISO 2022 charsets: their words begin and end in US-ASCII, and two escape sequences in a row are an error.
    fn joins(&self, next: &Self) -> bool {
        let stateful = self.charset.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"iso-2022"));
        !stateful
            && self.charset.eq_ignore_ascii_case(next.charset)
            && self.encoding.eq_ignore_ascii_case(&next.encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_every_form() {
        let plain = content_type(b" Text/Plain; charset=\"UTF-8\"; Format=flowed");
        assert_eq!(plain.media_type().as_deref(), Some("text/plain"));
        assert_eq!((plain.parameter("charset"), plain.parameter("format")), (Some("UTF-8"), Some("flowed")));
        let long = disposition(b" attachment;\r\n filename*0*=utf-8''%C3%A4%20;\r\n filename*1=\"b.txt\"");
        assert_eq!((long.word(), long.parameter("filename")), ("attachment", Some("\u{e4} b.txt")));
        let word = disposition(b" attachment; filename=\"=?utf-8?q?=C3=A4.txt?=\"");
        assert_eq!(word.parameter("filename"), Some("\u{e4}.txt"));
    }

    #[test]
    fn a_forgotten_semicolon_hides_no_media_type() {
        let cluttered = content_type(b" application/pdf name=\"a.pdf\"; x=y");
        assert_eq!((cluttered.media_type().as_deref(), cluttered.is_media_type()), (Some("application/pdf"), false));
    }

    #[test]
    fn what_is_no_media_type_is_said_to_be_none() {
        for value in [&b""[..], b" text", b" ;charset=x", b" a b/c", b" /", b" text/"] {
            assert!(!content_type(value).is_media_type(), "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn text_is_unfolded_and_decoded() {
        assert_eq!(text(b" =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?IQ==?= you "), "Gr\u{fc}\u{df}e! you");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn groups_are_flattened() {
        assert_eq!(
            addresses(b" A <a@x>, Team: \"B, C\" <b@x>, d@x;"),
            [("A".into(), "a@x".into()), ("B, C".into(), "b@x".into()), (String::new(), "d@x".into())]
        );
    }

    #[test]
    fn characters_cut_in_two_are_made_whole() {
        assert_eq!(text(b" =?utf-8?Q?Gr=C3?= =?UTF-8?q?=BC=C3?=\r\n =?utf-8?q?=9Fe?= x"), "Gr\u{fc}\u{df}e x");
        assert_eq!(text(b"=?utf-8?B?w7w=?= =?utf-8?B?w7zD?= =?utf-8?B?vA==?="), "\u{fc}\u{fc}\u{fc}");
        assert_eq!(text(b"=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=  b  c"), "a\u{fc} b  c");
        assert_eq!(addresses(b"=?utf-8?Q?J=C3?= =?utf-8?Q?=B6rg?= <j@x>"), [("J\u{f6}rg".into(), "j@x".into())]);
        for same in ["a =?b =? c", "=?utf-8?Q?", "x=?", "=", "  ", "=?a?b?c ?=", "a=?utf-8?Q?b?=c"] {
            assert_eq!(join_words(same.as_bytes()), same.as_bytes());
        }
    }

    #[test]
    fn raw_bytes_are_read_as_what_they_most_likely_are() {
        assert_eq!(text(b" Gr\xfc\xdfe"), "Gr\u{fc}\u{df}e");
        assert_eq!(text("Gr\u{fc}\u{df}e".as_bytes()), "Gr\u{fc}\u{df}e");
    }
}
