//! Reading a header section line by line (RFC 5322 §2.2), without copying.
//!
//! Strict about names: 1*ftext, white space allowed only before the colon (as MTAs allow it). Whoever is more lenient
//! sees fields that a verifier or the recipient's program does not see.

use crate::headers::Field;
use bytes::Bytes;
use std::ops::Range;

/// What stands at a line start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A field with its folded lines.
    Field {
        /// Name without white space before the colon.
        name: Range<usize>,
        /// Everything after the colon without the last line end.
        value: Range<usize>,
        /// Start of the line after the field.
        next: usize,
    },
    /// The empty line that ends the section; content begins at `next`.
    Empty {
        /// Start of the line after it.
        next: usize,
    },
    /// Neither: the section ends without an empty line.
    Other,
    /// There is no more input.
    End,
}

/// Says what stands in `bytes` at `start`, which must be a line start.
pub(crate) fn line_at(bytes: &[u8], start: usize) -> Line {
    let rest = match bytes.get(start..) {
        None | Some([]) => return Line::End,
        Some([b'\n', ..]) => return Line::Empty { next: start.saturating_add(1) },
        Some([b'\r', b'\n', ..]) => return Line::Empty { next: start.saturating_add(2) },
        Some(rest) => rest,
    };
    let name_length = rest.iter().take_while(|byte| is_ftext(**byte)).count();
    let after_name = rest.get(name_length..).unwrap_or_default();
    let blank = after_name.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if name_length == 0 || after_name.get(blank) != Some(&b':') {
        return Line::Other;
    }
    let name = start..start.saturating_add(name_length);
    let value_start = name.end.saturating_add(blank).saturating_add(1);
    let mut next = after_line(bytes, value_start);
    while matches!(bytes.get(next), Some(b' ' | b'\t')) {
        next = after_line(bytes, next);
    }
    Line::Field { name, value: value_start..before_line_end(bytes, value_start, next), next }
}

/// The fields of a header section; ends at the empty line or at the first line that is no field.
pub(crate) fn fields(section: &Bytes) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut at = 0;
    while let Line::Field { name, value, next } = line_at(section, at) {
        fields.push(Field::new(section.slice(name), section.slice(value)));
        at = next;
    }
    fields
}

/// Whether a byte may stand in a field name: printable US-ASCII but the colon.
#[must_use]
pub(crate) fn is_ftext(byte: u8) -> bool {
    matches!(byte, 33..=57 | 59..=126)
}

/// Start of the line that follows the one at `start`; the end of `bytes` when there is none.
pub(crate) fn after_line(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |at| start.saturating_add(at).saturating_add(1))
}

/// Where the line that ends before `next` has its line end (CRLF or LF), but not before `from`.
pub(crate) fn before_line_end(bytes: &[u8], from: usize, next: usize) -> usize {
    let line = bytes.get(from..next).unwrap_or_default();
    let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    from.saturating_add(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &'static [u8]) -> Vec<(String, String)> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        fields(&Bytes::from_static(section)).iter().map(|f| (text(&f.name), text(&f.value))).collect()
    }

    #[test]
    fn folded_values_keep_every_byte() {
        assert_eq!(
            read(b"A: 1\r\n\tx\r\n \r\nB:2\r\n\r\nC: no"),
            [("A".into(), " 1\r\n\tx\r\n ".into()), ("B".into(), "2".into())]
        );
    }

    #[test]
    fn names_are_strict() {
        assert_eq!(read(b"Fr om: x\r\n"), []);
        assert_eq!(read(b": x\r\n"), []);
        assert_eq!(read(b"Fr\xC3\xA9: x\r\n"), []);
        assert_eq!(read(b"From \t: x"), [("From".into(), " x".into())]);
    }

    #[test]
    fn bare_line_ends() {
        assert_eq!(read(b"A: 1\nB: 2\r3\n\nC: no"), [("A".into(), " 1".into()), ("B".into(), " 2\r3".into())]);
    }
}
