//! The structural scanner: one pass over the body from top to bottom, with the open multiparts on a stack.

use super::{
    Defect, Delimiters, Kind, MAX_DEPTH, MAX_PARTS, Parameters, Part, Role,
    section::{self, Line},
    value,
};
use crate::headers::Headers;
use memchr::memmem::Finder;
use std::ops::Range;

/// Finds all parts.
pub(super) fn scan(headers: &Headers, body: &[u8]) -> Vec<Part> {
    let mut fields = ContentFields::default();
    for field in headers.fields() {
        fields.note(&field.name, &field.value);
    }
    let mut scanner = Scanner { body, parts: Vec::new(), open: Vec::new(), line_with_hyphens: Finder::new(b"\n--") };
    scanner.add(fields.describe("text/plain"), 0, 0..0, 0);
    scanner.run();
    scanner.parts
}

struct Scanner<'a> {
    body: &'a [u8],
    parts: Vec<Part>,
    /// The multiparts and messages around the place that is looked at, outermost first.
    open: Vec<Open>,
    line_with_hyphens: Finder<'static>,
}

struct Open {
    part: usize,
    /// None for a message, and for a multipart after its closing delimiter.
    boundary: Option<Vec<u8>>,
    children: usize,
}

/// A delimiter line.
struct Delimiter {
    /// Place in the stack of the multipart that it belongs to.
    level: usize,
    closing: bool,
    /// From the first hyphen to the end of the boundary and, when closing, its hyphens.
    line: Range<usize>,
    /// Start of the next line.
    next: usize,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let mut at = self.open_last();
        while let Some(delimiter) = self.next_delimiter(at) {
            self.close_above(delimiter.level, delimiter.line.start);
            at = delimiter.next;
            let Some(open) = self.open.get_mut(delimiter.level) else { break };
            if delimiter.closing {
                open.boundary = None;
                let part = open.part;
                if let Some(delimiters) = self.parts.get_mut(part).and_then(|part| part.delimiters.as_mut()) {
                    delimiters.close = Some(delimiter.line);
                }
                continue;
            }
            open.children = open.children.saturating_add(1);
            let parent = open.part;
            if self.parts.len() >= MAX_PARTS {
                self.defect(parent, Defect::TooManyParts);
                break;
            }
            self.read_part(parent, at, Some(delimiter.line.start));
            at = self.open_last();
        }
        self.close_above(0, self.body.len());
        if let Some(outermost) = self.open.pop() {
            self.end_container(&outermost);
        }
        self.end_part(0, self.body.len());
    }

    /// Goes into the part that was added last as far as it can be opened. Gives the place to go on from.
    fn open_last(&mut self) -> usize {
        loop {
            let id = self.parts.len().saturating_sub(1);
            let Some(part) = self.parts.get_mut(id) else { return self.body.len() };
            let content = part.content.start;
            if part.kind != Kind::Leaf && (self.open.len() >= MAX_DEPTH || id.saturating_add(1) >= MAX_PARTS) {
                part.kind = Kind::Leaf;
                let too_deep = self.open.len() >= MAX_DEPTH;
                part.defects.push(if too_deep { Defect::TooDeep } else { Defect::TooManyParts });
                part.delimiters = None;
            }
            match part.kind {
                Kind::Leaf => return content,
                Kind::Multipart => {
                    let boundary = part.delimiters.as_ref().map(|delimiters| delimiters.boundary.clone());
                    self.open.push(Open { part: id, boundary, children: 0 });
                    return content;
                }
                Kind::Message => {
                    self.open.push(Open { part: id, boundary: None, children: 1 });
                    self.read_part(id, content, None);
                }
            }
        }
    }

    /// Reads the header section at `start` and adds the part that it belongs to.
    fn read_part(&mut self, parent: usize, start: usize, opened_at: Option<usize>) {
        let mut fields = ContentFields::default();
        let mut at = start;
        let (header_end, content, complete) = loop {
            if self.delimiter_at(at).is_some() {
                break (at, at, at == start);
            }
            match section::line_at(self.body, at) {
                Line::Field { name, value, next } => {
                    let name = self.body.get(name).unwrap_or_default();
                    fields.note(name, self.body.get(value).unwrap_or_default());
                    at = next;
                }
                Line::Empty { next } => break (at, next, true),
                // A part may consist of header fields alone.
                Line::End => break (at, at, true),
                Line::Other => break (at, at, false),
            }
        };
        let digest = self.parts.get(parent).is_some_and(|part| part.media_type == "multipart/digest");
        let mut part = fields.describe(if digest { "message/rfc822" } else { "text/plain" });
        if !complete {
            part.defects.push(Defect::MissingEmptyLine);
        }
        part.opened_at = opened_at;
        self.add(part, parent, start..header_end, content);
    }

    fn add(&mut self, mut part: Part, parent: usize, header: Range<usize>, content: usize) {
        part.id = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        part.parent = u32::try_from(parent).unwrap_or(u32::MAX);
        part.entity = header.start..self.body.len();
        part.header = header;
        part.content = content..self.body.len();
        self.parts.push(part);
    }

    /// The next delimiter line of any open multipart, from the line start `from` on.
    fn next_delimiter(&self, from: usize) -> Option<Delimiter> {
        if let Some(delimiter) = self.delimiter_at(from) {
            return Some(delimiter);
        }
        let rest = self.body.get(from..)?;
        self.line_with_hyphens
            .find_iter(rest)
            .find_map(|at| self.delimiter_at(from.saturating_add(at).saturating_add(1)))
    }

    /// The delimiter line at the line start `start`, when there is one. The innermost multipart is asked first.
    fn delimiter_at(&self, start: usize) -> Option<Delimiter> {
        let rest = self.body.get(start..)?;
        if !rest.starts_with(b"--") || self.open.is_empty() {
            return None;
        }
        let next = section::after_line(self.body, start);
        let line = self.body.get(start..next)?.trim_ascii_end();
        let found = self.open.iter().enumerate().rev().find_map(|(level, open)| {
            match line.get(2..)?.strip_prefix(open.boundary.as_deref()?)? {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            }
        });
        let (level, closing) = found?;
        Some(Delimiter { level, closing, line: start..start.saturating_add(line.len()), next })
    }

    /// Ends everything inside the open part at `level`, because a line at `line_start` belongs to that one.
    fn close_above(&mut self, level: usize, line_start: usize) {
        // The part that was added last is a leaf, or it is on the stack itself.
        if let Some(last) = self.parts.len().checked_sub(1)
            && self.open.get(level).is_none_or(|open| open.part != last)
        {
            self.end_part(last, line_start);
        }
        while self.open.len() > level.saturating_add(1) {
            if let Some(open) = self.open.pop() {
                self.end_container(&open);
                self.end_part(open.part, line_start);
            }
        }
    }

    fn end_container(&mut self, open: &Open) {
        let Some(part) = self.parts.get_mut(open.part) else { return };
        if open.children == 0 {
            part.kind = Kind::Leaf;
            part.delimiters = None;
            part.defects.push(Defect::MissingStartBoundary);
        } else if open.boundary.is_some() {
            part.defects.push(Defect::MissingEndBoundary);
        }
    }

    /// Ends a part before the line at `line_start`: the line end before a delimiter belongs to the delimiter.
    fn end_part(&mut self, id: usize, line_start: usize) {
        let body = self.body;
        let last = self.parts.len().saturating_sub(1);
        // That line end may also be the one of the delimiter line that opens the last part inside, when that is empty.
        let inside = if id < last { self.parts.last().map_or(0, |last| last.entity.end) } else { 0 };
        let Some(part) = self.parts.get_mut(id).filter(|part| part.entity.end == body.len()) else { return };
        let end = if line_start == body.len() {
            line_start
        } else {
            section::before_line_end(body, part.entity.start, line_start).max(inside.min(line_start))
        };
        part.entity.end = end;
        part.header.end = part.header.end.min(end);
        part.content = part.content.start.min(end)..end;
    }

    fn defect(&mut self, id: usize, defect: Defect) {
        if let Some(part) = self.parts.get_mut(id) {
            part.defects.push(defect);
        }
    }
}

/// The fields that describe a part, as they pass by.
#[derive(Default)]
struct ContentFields {
    content_type: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    disposition: Option<Vec<u8>>,
    content_id: Option<Vec<u8>>,
    duplicate: bool,
}

impl ContentFields {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let slot = match name.len() {
            10 if name.eq_ignore_ascii_case(b"Content-ID") => &mut self.content_id,
            12 if name.eq_ignore_ascii_case(b"Content-Type") => &mut self.content_type,
            19 if name.eq_ignore_ascii_case(b"Content-Disposition") => &mut self.disposition,
            25 if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") => &mut self.encoding,
            _ => return,
        };
        if slot.is_some() {
            self.duplicate = true;
        } else {
            *slot = Some(value.to_vec());
        }
    }

    /// The part that these fields describe, without its place.
    fn describe(self, default_type: &str) -> Part {
        let mut defects = Vec::new();
        if self.duplicate {
            defects.push(Defect::DuplicateField);
        }
        let content_type = self.content_type.as_deref().map(value::content_type);
        if content_type.as_ref().is_some_and(|found| !found.is_media_type()) {
            defects.push(Defect::InvalidContentType);
        }
        // What is missing has a default; what can not be read is text (RFC 2045 §5.2).
        let default_type = if content_type.is_some() { "text/plain" } else { default_type };
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.media_type().unwrap_or_else(|| default_type.to_owned());
        let disposition = self.disposition.as_deref().map(value::disposition).unwrap_or_default();
        let encoding = self.encoding.as_deref().map(value::token).filter(|token| !token.is_empty());
        let encoding = encoding.unwrap_or_else(|| "7bit".to_owned());
        let encoded = match super::encoding::Encoding::named(&encoding) {
            super::encoding::Encoding::Identity { known } => {
                if !known {
                    defects.push(Defect::UnknownEncoding);
                }
                false
            }
            _ => true,
        };

        let mut kind = Kind::Leaf;
        let mut delimiters = None;
        if media_type.starts_with("multipart/") {
            let boundary = content_type.parameter("boundary").unwrap_or_default().trim_end().as_bytes().to_vec();
            if boundary.is_empty() {
                defects.push(Defect::MissingBoundary);
            } else {
                kind = Kind::Multipart;
                delimiters = Some(Delimiters { boundary, close: None });
                if encoded {
                    defects.push(Defect::EncodedComposite);
                }
            }
        } else if matches!(media_type.as_str(), "message/rfc822" | "message/global") {
            // What is encoded has no byte ranges of its own in the body: it stays closed.
            if encoded {
                defects.push(Defect::EncodedComposite);
            } else {
                kind = Kind::Message;
            }
        }
        let lower = |name| content_type.parameter(name).unwrap_or_default().trim().to_ascii_lowercase();
        let parameters = Parameters {
            flowed: lower("format") == "flowed",
            del_sp: lower("delsp") == "yes",
            smime_type: lower("smime-type"),
            start: value::without_angle_brackets(content_type.parameter("start").unwrap_or_default()).to_owned(),
        };
        let file_name = disposition.parameter("filename").or_else(|| content_type.parameter("name"));
        let content_id = self.content_id.as_deref().map(value::text).unwrap_or_default();
        Part {
            id: 0,
            parent: 0,
            kind,
            role: Role::Attachment,
            charset: lower("charset"),
            encoding,
            disposition: disposition.word().to_owned(),
            file_name: file_name.unwrap_or_default().trim().to_owned(),
            content_id: value::without_angle_brackets(&content_id).to_owned(),
            media_type,
            defects,
            parameters,
            header: 0..0,
            content: 0..0,
            entity: 0..0,
            delimiters,
            opened_at: None,
        }
    }
}
