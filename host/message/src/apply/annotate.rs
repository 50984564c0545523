//! Putting text before and after what people read, with as little change to a part as its charset and transfer encoding
//! allow.

use super::{
    html,
    new_part::{has_delimiter, has_long_line},
};
use crate::mime::{
    Part,
    charset::{self, known},
    encoding::{self, Encoding},
};
use std::{borrow::Cow, ops::Range};

/// Text for one kind of parts; lines ended by LF or CRLF.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) before: String,
    pub(super) after: String,
}

impl Text {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// What changes of a part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotated {
    /// Byte ranges of the part's content and what comes in their place, from the top.
    pub(super) splices: Vec<(Range<usize>, Vec<u8>)>,
    /// New charset parameter.
    pub(super) charset: Option<&'static str>,
    /// New transfer encoding.
    pub(super) encoding: Option<&'static str>,
}

/// Annotates a text/plain or text/html part. `content` is as it stands in the message, `decoded` without its transfer
/// encoding; `boundaries` are those of the multiparts around it. None when the part has to be left alone: nobody
/// knows how to read its transfer encoding or charset.
pub(super) fn annotate(
    part: &Part,
    content: &[u8],
    decoded: &[u8],
    text: &Text,
    boundaries: &[&[u8]],
) -> Option<Annotated> {
    let transfer = part.transfer_encoding();
    if transfer == (Encoding::Identity { known: false }) {
        return None;
    }
    let text = Text { before: prepared(&text.before, part), after: prepared(&text.after, part) };
    let carried = carry(part, decoded, &text)?;
    let insertions = insertions(part, &carried, &text);
    if insertions.is_empty() {
        return Some(Annotated::default());
    }
    let edited = with_insertions(&carried.content, &insertions);
    let whole = 0..content.len();
    let mut annotated = Annotated { charset: carried.new_charset, ..Annotated::default() };
    let unchanged = matches!(carried.content, Cow::Borrowed(_));

    if unchanged && let Some(splices) = in_place(part, content, transfer, &insertions, &edited, boundaries) {
        annotated.splices = splices;
        return Some(annotated);
    }
    // The whole part is encoded anew.
    let eight_bit = matches!(part.encoding.as_str(), "8bit" | "binary") || edited.is_ascii();
    let as_it_is = matches!(transfer, Encoding::Identity { .. }) && eight_bit && !has_long_line(&edited);
    if as_it_is && !has_delimiter(&edited, boundaries) {
        annotated.splices.push((whole, edited));
        return Some(annotated);
    }
    if transfer != Encoding::Base64 {
        let quoted = encoding::encode_quoted_printable(&edited);
        if !has_delimiter(&quoted, boundaries) {
            annotated.splices.push((whole, quoted));
            annotated.encoding = (transfer != Encoding::QuotedPrintable).then_some("quoted-printable");
            return Some(annotated);
        }
    }
    let mut lines = encoding::encode_base64(&edited);
    if !content.is_empty() && !content.ends_with(b"\n") {
        lines.truncate(lines.len().saturating_sub(2));
    }
    annotated.encoding = (transfer != Encoding::Base64).then_some("base64");
    annotated.splices.push(difference(content, &lines));
    Some(annotated)
}

/// The range at the end in which two contents differ.
fn difference(old: &[u8], new: &[u8]) -> (Range<usize>, Vec<u8>) {
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    (same..old.len(), new.get(same..).unwrap_or_default().to_vec())
}

/// Insertions into the encoded content, when the encoding allows to leave the rest as it is.
fn in_place(
    part: &Part,
    content: &[u8],
    transfer: Encoding,
    insertions: &[(usize, Vec<u8>)],
    edited: &[u8],
    boundaries: &[&[u8]],
) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
    let fits = |bytes: &[u8]| !has_delimiter(bytes, boundaries);
    match transfer {
        Encoding::Identity { .. } => {
            let eight_bit = matches!(part.encoding.as_str(), "8bit" | "binary");
            let sendable = |bytes: &[u8]| (eight_bit || bytes.is_ascii()) && !has_long_line(bytes) && fits(bytes);
            insertions
                .iter()
                .all(|(_, bytes)| sendable(bytes))
                .then(|| insertions.iter().map(|(place, bytes)| (*place..*place, bytes.clone())).collect())
        }
        Encoding::QuotedPrintable => {
            let splices: Option<Vec<_>> = insertions
                .iter()
                .map(|(place, bytes)| {
                    let place = quoted_place(part, content, *place)?;
                    let mut quoted = Vec::new();
                    // A soft line break ends the line that stands there, whatever it is.
                    let before = content.get(..place)?;
                    if place > 0 && place < content.len() && !before.ends_with(b"\n") {
                        quoted.extend_from_slice(b"=\r\n");
                    } else if place == content.len() && before.ends_with(b"=") {
                        quoted.extend_from_slice(b"\r\n");
                    }
                    quoted.extend_from_slice(&encoding::encode_quoted_printable(bytes));
                    fits(&quoted).then_some((place..place, quoted))
                })
                .collect();
            // Trailing blanks and broken escapes make it hard to foresee; so look.
            let splices = splices?;
            let spliced = with_insertions(
                content,
                &splices.iter().map(|(range, bytes)| (range.start, bytes.clone())).collect::<Vec<_>>(),
            );
            (encoding::decode_quoted_printable(&spliced).0 == edited).then_some(splices)
        }
        Encoding::Base64 => None,
    }
}

/// The place in quoted-printable content of a place in the decoded content, as far as it can be told cheaply.
fn quoted_place(part: &Part, content: &[u8], place: usize) -> Option<usize> {
    let same = |candidate: usize| {
        let before = content.get(..candidate)?;
        (encoding::decode_quoted_printable(before).0.len() == place).then_some(candidate)
    };
    if place == 0 {
        return Some(0);
    }
    same(content.len()).or_else(|| {
        if part.media_type == "text/html" {
            same(html::end(content)).or_else(|| same(html::start(content)))
        } else {
            None
        }
    })
}

/// A part's decoded content, and the charset in which it can carry the text.
struct Carried<'a> {
    /// Owned when it had to be converted.
    content: Cow<'a, [u8]>,
    charset: Cow<'a, str>,
    /// Set when the part has to declare it.
    new_charset: Option<&'static str>,
}

/// None when the charset can not carry the text and can not be converted either.
fn carry<'a>(part: &'a Part, decoded: &'a [u8], text: &Text) -> Option<Carried<'a>> {
    let charset = part.charset.as_str();
    let as_it_is =
        |charset| Carried { content: Cow::Borrowed(decoded), charset: Cow::Borrowed(charset), new_charset: None };
    // In these US-ASCII does not stand for itself.
    let foreign = ["utf-16", "utf-32", "utf-7", "ucs-", "iso-10646", "unicode"];
    let foreign = foreign.iter().any(|start| charset.starts_with(start));
    if text.before.is_ascii() && text.after.is_ascii() && !foreign {
        return Some(as_it_is("us-ascii"));
    }
    let can_carry = |charset: &str| {
        charset::encode(&text.before, charset).is_some() && charset::encode(&text.after, charset).is_some()
    };
    if can_carry(charset) {
        return Some(as_it_is(charset));
    }
    let encoding = known(charset);
    let undeclared = matches!(charset, "" | "us-ascii" | "ascii");
    if encoding.is_none() && (charset.starts_with("iso-2022") || charset.starts_with("hz")) {
        return None;
    }
    let superset_of_ascii = undeclared || (!foreign && encoding.is_none_or(encoding_rs::Encoding::is_ascii_compatible));
    let content = if (superset_of_ascii && decoded.is_ascii()) || (undeclared && std::str::from_utf8(decoded).is_ok()) {
        Cow::Borrowed(decoded)
    } else {
        Cow::Owned(charset::decode(decoded, charset, usize::MAX).into_bytes())
    };
    Some(Carried { content, charset: Cow::Borrowed("utf-8"), new_charset: Some("utf-8") })
}

/// The bytes to insert, by their place in the content, from the top.
fn insertions(part: &Part, carried: &Carried<'_>, text: &Text) -> Vec<(usize, Vec<u8>)> {
    let encode = |text: &str| charset::encode(text, &carried.charset).unwrap_or(Cow::Borrowed(b"")).into_owned();
    let content = carried.content.as_ref();
    let html = part.media_type == "text/html";
    let (start, end) = if html { html_places(content, &carried.charset, &part.charset) } else { (0, content.len()) };
    // A byte order mark stays in front.
    let start = if start == 0 && content.starts_with(b"\xef\xbb\xbf") { 3 } else { start };
    let mut insertions = Vec::new();
    if !text.before.is_empty() {
        let mut bytes = encode(&text.before);
        if start > 0 && html && !ends_line(content.get(..start)) {
            bytes.splice(0..0, *b"\r\n");
        }
        insertions.push((start, bytes));
    }
    if !text.after.is_empty() {
        let mut bytes = encode(&text.after);
        let before = content.get(..end).unwrap_or_default();
        if end == content.len() && !before.is_empty() && !before.ends_with(b"\n") {
            // The content has no line end at its end, and gets none.
            bytes.splice(0..0, *b"\r\n");
            bytes.truncate(bytes.len().saturating_sub(2));
        } else if end < content.len() && !ends_line(Some(before)) {
            bytes.splice(0..0, *b"\r\n");
        }
        if !html && part.parameters.flowed && ends_flowed(before) {
            // An empty line ends the paragraph that would take our first line in (RFC 3676 §4.1).
            bytes.splice(0..0, *b"\r\n");
        }
        insertions.push((end, bytes));
    }
    insertions
}

fn ends_line(content: Option<&[u8]>) -> bool {
    content.is_none_or(|content| content.is_empty() || content.ends_with(b"\n"))
}

/// Whether the last line of flowed text goes on in the next one.
fn ends_flowed(content: &[u8]) -> bool {
    let text = content.strip_suffix(b"\n").map_or(content, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let line = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    line.ends_with(b" ") && line != b"-- "
}

/// Where text goes before and after the content of an HTML part.
fn html_places(content: &[u8], charset: &str, declared: &str) -> (usize, usize) {
    let masked: Cow<'_, [u8]> =
        if declared.starts_with("iso-2022") && charset != "utf-8" { mask(content).into() } else { content.into() };
    let (start, end) = (html::start(&masked), html::end(&masked));
    if start <= end { (start, end) } else { (start, content.len()) }
}

/// ISO 2022 text with its double-byte characters, which look like US-ASCII, made harmless.
fn mask(content: &[u8]) -> Vec<u8> {
    let mut masked = content.to_vec();
    let mut double = false;
    let mut place = 0_usize;
    while let Some(byte) = masked.get_mut(place) {
        match *byte {
            0x1b => double = content.get(place.saturating_add(1)) == Some(&b'$'),
            b'\n' => double = false,
            _ if double => *byte = b'x',
            _ => {}
        }
        place = place.saturating_add(1);
    }
    masked
}

/// Text with lines ended by CRLF, the last one too; for flowed text in the form that keeps its lines apart.
fn prepared(text: &str, part: &Part) -> String {
    let flowed = part.parameters.flowed && part.media_type == "text/plain";
    let mut out = String::with_capacity(text.len().saturating_add(16));
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in text.split_terminator('\n') {
        if flowed {
            // A space at the end would join the line with the next one; what begins like a quote is stuffed.
            let line = if line == "-- " { line } else { line.trim_end_matches(' ') };
            if line.starts_with([' ', '>']) || line.starts_with("From ") {
                out.push(' ');
            }
            out.push_str(line);
        } else {
            out.push_str(line);
        }
        out.push_str("\r\n");
    }
    out
}

fn with_insertions(content: &[u8], insertions: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let added: usize = insertions.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut out = Vec::with_capacity(content.len().saturating_add(added));
    let mut at = 0;
    for (place, bytes) in insertions {
        out.extend_from_slice(content.get(at..*place).unwrap_or_default());
        out.extend_from_slice(bytes);
        at = *place;
    }
    out.extend_from_slice(content.get(at..).unwrap_or_default());
    out
}
