//! Edits of the content: which ranges of the body go, and what comes in their place.

use super::{
    ApplyError,
    annotate::{self, Text},
    check::is_content_edit,
    field,
    new_part::{self, NewEntity, Piece},
};
use crate::{
    body::{BodyStore, BodyWriter},
    decision::{Edit, NewPart},
    headers::Field,
    message::ParsedMessage,
    mime::{Defect, Part, Role, Tree, encoding, value},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

/// New content of a message.
pub(super) struct Content {
    /// All its `MIME-Version` and `Content-*` fields.
    pub(super) fields: Vec<Field>,
    pub(super) body: Bytes,
}

/// The content after the edits, which have been checked; None when it stays as it is.
pub(super) fn edited(
    message: &ParsedMessage,
    edits: &[Edit],
    store: &dyn BodyStore,
) -> Result<Option<Content>, ApplyError> {
    if !edits.iter().any(is_content_edit) {
        return Ok(None);
    }
    for edit in edits {
        if let Edit::ReplaceContent { headers, body } = edit {
            let fields = headers.iter().map(|new| Field::new(new.name.clone(), field::raw(&new.value))).collect();
            return Ok(Some(Content { fields, body: body.clone() }));
        }
    }
    let mut draft = Draft::new(message);
    draft.replace_and_remove(edits);
    draft.annotate(edits);
    draft.add_parts(edits);
    draft.finish(store)
}

struct Draft<'a> {
    message: &'a ParsedMessage,
    tree: &'a Tree,
    /// The root's `MIME-Version` and `Content-*` fields as they will be.
    fields: Vec<Field>,
    /// What becomes of each part.
    fates: Vec<Fate<'a>>,
    splices: Vec<Splice>,
    /// What comes before and after the body.
    prefix: Vec<Piece>,
    suffix: Vec<Piece>,
}

#[derive(Clone, Copy)]
enum Fate<'a> {
    Kept,
    Replaced(&'a NewPart),
    Removed,
    /// Inside a part that is replaced or removed.
    Gone,
}

/// A range of the old body and what comes in its place.
struct Splice {
    range: Range<usize>,
    new: Vec<Piece>,
}

impl<'a> Draft<'a> {
    fn new(message: &'a ParsedMessage) -> Self {
        let tree = message.tree();
        Self {
            message,
            tree,
            fields: message.content_fields().cloned().collect(),
            fates: vec![Fate::Kept; tree.parts().len()],
            splices: Vec::new(),
            prefix: Vec::new(),
            suffix: Vec::new(),
        }
    }

    fn replace_and_remove(&mut self, edits: &'a [Edit]) {
        let mut asked = BTreeMap::new();
        for edit in edits {
            match edit {
                Edit::ReplacePart { part, with } => asked.insert(*part, Fate::Replaced(with)),
                Edit::RemovePart(part) => asked.insert(*part, Fate::Removed),
                _ => continue,
            };
        }
        if asked.is_empty() {
            return;
        }
        // How many children of each part remain, and the last of those that go.
        let mut remaining: BTreeMap<u32, (usize, u32)> = BTreeMap::new();
        for part in self.tree.parts() {
            let inside = part.id != 0 && !matches!(self.fate(part.parent), Fate::Kept);
            let fate = if inside { Fate::Gone } else { asked.get(&part.id).copied().unwrap_or(Fate::Kept) };
            let (count, last_gone) = remaining.entry(part.parent).or_default();
            match fate {
                Fate::Removed => *last_gone = part.id,
                _ if part.id != 0 => *count = count.saturating_add(1),
                _ => {}
            }
            if let Some(slot) = index(part.id).and_then(|place| self.fates.get_mut(place)) {
                *slot = fate;
            }
        }
        for part in self.tree.parts() {
            match self.fate(part.id) {
                Fate::Replaced(with) => self.replace(part, with),
                Fate::Removed => {
                    let last_of_all =
                        remaining.get(&part.parent).is_none_or(|(count, last)| *count == 0 && *last == part.id);
                    if part.opened_at.is_none() || last_of_all {
                        self.replace(part, &empty_text());
                    } else {
                        self.remove(part);
                    }
                }
                Fate::Kept | Fate::Gone => {}
            }
        }
    }

    fn replace(&mut self, part: &Part, with: &NewPart) {
        let boundaries = self.boundaries_around(part);
        let mut new = new_part::encode(with, &boundaries);
        if new.collides {
            // Not what RFC 2046 §5.2.1 wants of a message, but better than a tree that is torn apart.
            new.content = Piece::Base64(with.content.clone());
            new.fields.retain(|field| !field.is("Content-Transfer-Encoding"));
            new.fields.push(new_part::field("Content-Transfer-Encoding", "base64"));
        }
        if part.id == 0 {
            let mut pieces = vec![new.content];
            if new.open_line {
                pieces.push(Piece::from("\r\n"));
            }
            self.splices.push(Splice { range: 0..self.message.body.len(), new: pieces });
            self.fields.retain(|field| field.is("MIME-Version"));
            self.ensure_mime_version();
            self.fields.extend(new.fields);
            return;
        }
        let mut fields = Vec::new();
        if part.opened_at.is_none() {
            // The root of an enclosed message: its From and Subject are not the part's.
            fields = self.message.part_fields(part.id);
            fields.retain(|field| !crate::view::is_content_field(&field.name));
            fields.push(new_part::field("MIME-Version", "1.0"));
        }
        fields.extend(new.fields);
        let mut pieces = vec![Piece::from(self.line_start_before(part)), Piece::from(new_part::section(&fields))];
        pieces.push(Piece::from("\r\n"));
        pieces.push(new.content);
        if self.needs_line_end(part) {
            pieces.push(Piece::from("\r\n"));
        }
        self.splices.push(Splice { range: part.entity.clone(), new: pieces });
    }

    /// Takes a part out with the delimiter line that opens it.
    fn remove(&mut self, part: &Part) {
        let Some(start) = part.opened_at else { return };
        let mut new = Vec::new();
        let unclosed = self
            .tree
            .part(part.parent)
            .and_then(|parent| parent.delimiters.as_ref())
            .filter(|delimiters| delimiters.close.is_none() && part.entity.end == self.message.body.len());
        if let Some(delimiters) = unclosed {
            // Without a delimiter the line end would become part of the content before it.
            new.push(Piece::from([b"--", delimiters.boundary.as_slice(), b"--\r\n"].concat()));
        }
        self.splices.push(Splice { range: start..self.after_line_end(part.entity.end), new });
    }

    fn annotate(&mut self, edits: &[Edit]) {
        let (mut plain, mut html) = (Text::default(), Text::default());
        for edit in edits {
            match edit {
                Edit::PrependText(text) => {
                    push_lines(&mut plain.before, &text.plain);
                    push_lines(&mut html.before, &text.html);
                }
                Edit::AppendText(text) => {
                    push_lines(&mut plain.after, &text.plain);
                    push_lines(&mut html.after, &text.html);
                }
                _ => {}
            }
        }
        for part in self.tree.parts() {
            let text = match part.media_type.as_str() {
                "text/plain" => &plain,
                "text/html" => &html,
                _ => continue,
            };
            if part.role == Role::Body && matches!(self.fate(part.id), Fate::Kept) && !text.is_empty() {
                self.annotate_part(part, text);
            }
        }
    }

    fn annotate_part(&mut self, part: &Part, text: &Text) {
        let content = self.message.body.get(part.content.clone()).unwrap_or_default();
        let boundaries = self.boundaries_around(part);
        let decoded = self.message.decoded(part.id);
        let Some(annotated) = annotate::annotate(part, content, &decoded, text, &boundaries) else { return };
        let fields_change = annotated.charset.is_some() || annotated.encoding.is_some();
        if part.id == 0 {
            if fields_change {
                describe(&mut self.fields, part, annotated.charset, annotated.encoding);
                self.ensure_mime_version();
            }
        } else if fields_change || part.content.start == part.header.end {
            // The header section is written anew also when there is no empty line that the text could follow.
            let mut fields = self.message.part_fields(part.id);
            describe(&mut fields, part, annotated.charset, annotated.encoding);
            let mut section = self.line_start_before(part);
            section.extend_from_slice(&new_part::section(&fields));
            section.extend_from_slice(b"\r\n");
            self.splices.push(Splice { range: part.header.start..part.content.start, new: vec![Piece::from(section)] });
        }
        for (range, bytes) in annotated.splices {
            let offset = part.content.start;
            let range = offset.saturating_add(range.start)..offset.saturating_add(range.end);
            self.splices.push(Splice { range, new: vec![Piece::from(bytes)] });
        }
    }

    fn add_parts(&mut self, edits: &[Edit]) {
        let parts: Vec<&NewPart> =
            edits.iter().filter_map(|edit| if let Edit::AddPart(part) = edit { Some(part) } else { None }).collect();
        if parts.is_empty() {
            return;
        }
        if let Some((boundary, place)) = self.end_of_mixed_root() {
            let entities: Vec<_> = parts.iter().map(|part| new_part::encode(part, &[boundary])).collect();
            if !entities.iter().any(|new| new.collides) {
                if entities.iter().any(|new| new.eight_bit)
                    && self.tree.parts().first().is_some_and(|root| root.encoding == "7bit")
                {
                    set_field(&mut self.fields, "Content-Transfer-Encoding", b" 8bit".to_vec());
                }
                let mut pieces = Vec::new();
                for new in entities {
                    push_part(&mut pieces, boundary, new);
                }
                self.splices.push(Splice { range: place..place, new: pieces });
                return;
            }
        }
        self.wrap(&parts);
    }

    /// Boundary and place of the closing delimiter of a root that takes further parts. Not of one that lacks that
    /// delimiter, nor of one that shares its boundary with a multipart inside it: to some recipients' programs the new
    /// part would belong to the other multipart.
    fn end_of_mixed_root(&self) -> Option<(&'a [u8], usize)> {
        let root = self.tree.parts().first()?;
        let takes_parts = root.media_type == "multipart/mixed" && matches!(self.fate(0), Fate::Kept);
        let delimiters = root.delimiters.as_ref().filter(|_| takes_parts)?;
        let same = |part: &Part| part.delimiters.as_ref().is_some_and(|inner| inner.boundary == delimiters.boundary);
        if self.tree.parts().iter().skip(1).any(same) {
            return None;
        }
        Some((&delimiters.boundary, delimiters.close.as_ref()?.start))
    }

    /// Makes the message a multipart/mixed whose first part is its content up to now, byte for byte: what is signed or
    /// encrypted stays so.
    fn wrap(&mut self, parts: &[&NewPart]) {
        let boundary = self.fresh_boundary(parts);
        let boundary = boundary.as_bytes();
        let entities: Vec<_> = parts.iter().map(|part| new_part::encode(part, &[boundary])).collect();
        let mut encoding = self
            .fields
            .iter()
            .find(|field| field.is("Content-Transfer-Encoding"))
            .map(|field| value::token(&field.value))
            .filter(|encoding| matches!(encoding.as_str(), "8bit" | "binary"));
        if encoding.is_none() && entities.iter().any(|new| new.eight_bit) {
            encoding = Some("8bit".to_owned());
        }
        let (mut outer, inner): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.fields).into_iter().partition(|field| field.is("MIME-Version"));
        let name = String::from_utf8_lossy(boundary);
        outer.push(new_part::field("Content-Type", &format!("multipart/mixed;\r\n boundary=\"{name}\"")));
        outer.extend(encoding.map(|encoding| new_part::field("Content-Transfer-Encoding", &encoding)));
        self.fields = outer;
        self.ensure_mime_version();
        self.prefix.push(Piece::from([b"--", boundary, b"\r\n"].concat()));
        self.prefix.push(Piece::from(new_part::section(&inner)));
        self.prefix.push(Piece::from("\r\n"));
        self.suffix.push(Piece::from("\r\n"));
        for new in entities {
            push_part(&mut self.suffix, boundary, new);
        }
        self.suffix.push(Piece::from([b"--", boundary, b"--\r\n"].concat()));
    }

    /// A boundary that occurs nowhere in the content.
    fn fresh_boundary(&self, parts: &[&NewPart]) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.message.id, self.message.body.len(), parts.len()).hash(&mut hasher);
        self.message.body.get(..4096).unwrap_or(&self.message.body).hash(&mut hasher);
        loop {
            let boundary = format!("=_wasmilter_{:016x}", hasher.finish());
            let finder = memchr::memmem::Finder::new(&boundary);
            let spliced = self.splices.iter().flat_map(|splice| &splice.new).any(|piece| match piece {
                Piece::Bytes(bytes) => finder.find(bytes).is_some(),
                Piece::Base64(_) => false,
            });
            let added = parts.iter().any(|part| finder.find(&part.content).is_some());
            // Ends: a body of finite length holds finitely many of them.
            if !spliced && !added && finder.find(&self.message.body).is_none() {
                return boundary;
            }
            boundary.hash(&mut hasher);
        }
    }

    fn finish(mut self, store: &dyn BodyStore) -> Result<Option<Content>, ApplyError> {
        let touched = !(self.splices.is_empty() && self.prefix.is_empty() && self.suffix.is_empty());
        if !touched {
            return Ok(None);
        }
        // Stable: of splices at one place the one that was asked for first comes first.
        self.splices.sort_by_key(|splice| splice.range.start);
        let body = &self.message.body;
        let mut writer = store.start();
        write_pieces(&mut *writer, &self.prefix)?;
        let mut at = 0;
        for splice in &self.splices {
            writer.write(body.get(at..splice.range.start).unwrap_or_default())?;
            write_pieces(&mut *writer, &splice.new)?;
            at = splice.range.end.max(at);
        }
        writer.write(body.get(at..).unwrap_or_default())?;
        write_pieces(&mut *writer, &self.suffix)?;
        Ok(Some(Content { fields: self.fields, body: writer.finish()? }))
    }

    fn fate(&self, id: u32) -> Fate<'a> {
        index(id).and_then(|place| self.fates.get(place)).copied().unwrap_or(Fate::Kept)
    }

    /// Boundaries of all multiparts around a part: no line of new content may look like one of their delimiters.
    fn boundaries_around(&self, part: &Part) -> Vec<&'a [u8]> {
        let mut boundaries = Vec::new();
        let mut id = part.id;
        while id != 0 {
            let Some(parent) = self.tree.part(id).and_then(|part| self.tree.part(part.parent)) else { break };
            boundaries.extend(parent.delimiters.as_ref().map(|delimiters| delimiters.boundary.as_slice()));
            id = parent.id;
        }
        boundaries
    }

    /// Where the line begins that follows the line end at `at`; `at` itself when there is none.
    fn after_line_end(&self, at: usize) -> usize {
        match self.message.body.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => at.saturating_add(2),
            [b'\n', ..] => at.saturating_add(1),
            _ => at,
        }
    }

    /// Whether the next delimiter follows a part without a line end between them.
    fn needs_line_end(&self, part: &Part) -> bool {
        part.entity.end < self.message.body.len() && self.after_line_end(part.entity.end) == part.entity.end
    }

    /// A line end, when the part's delimiter line has none because the body ends there.
    fn line_start_before(&self, part: &Part) -> Vec<u8> {
        let before = self.message.body.get(..part.entity.start).unwrap_or_default();
        if before.is_empty() || before.ends_with(b"\n") { Vec::new() } else { b"\r\n".to_vec() }
    }

    fn ensure_mime_version(&mut self) {
        if !self.fields.iter().any(|field| field.is("MIME-Version")) {
            self.fields.insert(0, new_part::field("MIME-Version", "1.0"));
        }
    }
}

fn index(id: u32) -> Option<usize> {
    usize::try_from(id).ok()
}

fn empty_text() -> NewPart {
    NewPart { media_type: "text/plain".to_owned(), ..NewPart::default() }
}

/// Adds text that ends its last line.
fn push_lines(all: &mut String, text: &str) {
    all.push_str(text);
    if !text.is_empty() && !text.ends_with('\n') {
        all.push('\n');
    }
}

fn push_part(pieces: &mut Vec<Piece>, boundary: &[u8], new: NewEntity) {
    pieces.push(Piece::from([b"--", boundary, b"\r\n"].concat()));
    pieces.push(Piece::from(new_part::section(&new.fields)));
    pieces.push(Piece::from("\r\n"));
    // The line end before a delimiter belongs to the delimiter; that of the last base64 line is free to be it.
    let lends_line_end = matches!(&new.content, Piece::Base64(bytes) if !bytes.is_empty());
    pieces.push(new.content);
    if !lends_line_end {
        pieces.push(Piece::from("\r\n"));
    }
}

/// Exchanges charset and transfer encoding in a part's fields.
fn describe(fields: &mut Vec<Field>, part: &Part, charset: Option<&'static str>, encoding: Option<&'static str>) {
    if let Some(charset) = charset {
        let old = fields.iter().find(|field| field.is("Content-Type")).map(|field| field.value.clone());
        set_field(fields, "Content-Type", content_type(part, old.as_deref(), charset));
    }
    if let Some(encoding) = encoding {
        set_field(fields, "Content-Transfer-Encoding", format!(" {encoding}").into_bytes());
    }
}

/// A Content-Type value with that charset and everything else as it was, as far as that can be read.
fn content_type(part: &Part, old: Option<&[u8]>, charset: &str) -> Vec<u8> {
    let plain = format!(" {}", part.media_type).into_bytes();
    let old = match old {
        Some(old) if part.defects.contains(&Defect::InvalidContentType) => {
            let parameters = memchr::memchr(b';', old).and_then(|at| old.get(at..)).unwrap_or_default();
            [&plain, parameters].concat()
        }
        Some(old) => old.to_vec(),
        None => plain.clone(),
    };
    let new = new_part::with_charset(&old, charset);
    let read = value::content_type(&new);
    if read.parameter("charset") == Some(charset) && read.media_type().as_deref() == Some(&part.media_type) {
        new
    } else {
        new_part::with_charset(&plain, charset)
    }
}

/// Gives the first field of that name another value, drops further ones, adds it when there is none.
fn set_field(fields: &mut Vec<Field>, name: &'static str, value: Vec<u8>) {
    let mut value = Some(Bytes::from(value));
    fields.retain_mut(|field| {
        if !field.is(name) {
            return true;
        }
        value.take().map(|value| field.value = value).is_some()
    });
    if let Some(value) = value {
        fields.push(Field::new(name, value));
    }
}

fn write_pieces(writer: &mut dyn BodyWriter, pieces: &[Piece]) -> std::io::Result<()> {
    // A multiple of the 57 bytes that make a line.
    const STEP: usize = 57 * 1024;
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => writer.write(bytes)?,
            Piece::Base64(bytes) => {
                for step in bytes.chunks(STEP) {
                    writer.write(&encoding::encode_base64(step))?;
                }
            }
        }
    }
    Ok(())
}
