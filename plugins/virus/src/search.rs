//! The embedded engine: walks through the parts of a message and the members of archives, within limits.
//!
//! Order: every leaf part, decoded; a zip archive (also one with something before it, as in self-extracting programs)
//! and a gzip file are opened and their members treated likewise. An archive is always scanned as it is, too.

use crate::{
    config::Limits,
    report::{Find, InfectedPart, Report},
    signatures::Signatures,
};
use std::io::{self, Cursor, Read};
use wasmilter_sdk::{Message, Part, PartKind};
use zip::{ZipArchive, read::read_zipfile_from_stream, result::ZipError};

/// Members up to this size may have any ratio: text packs well, and little harm comes from little.
const ANY_RATIO_UP_TO: u64 = 1_000_000;

/// The end-of-directory record of a zip archive is in its last 64 KiB and some bytes.
const ARCHIVE_TAIL: usize = 66_000;

/// Scans all leaves of a message.
pub(crate) fn scan(signatures: &Signatures, limits: &Limits, message: &Message) -> Report {
    let report = Report { engine: "embedded", skipped_signatures: signatures.skipped(), ..Report::default() };
    let mut search = Search { signatures, limits, left: limits.total_size, report };
    for part in message.parts().into_iter().filter(|part| part.kind == PartKind::Leaf && part.encoded_size > 0) {
        if search.exhausted() {
            break;
        }
        let size = part.size();
        if search.can_not_matter(&part, size) {
            search.pass(size);
            continue;
        }
        let place = InfectedPart { id: part.id, path: part.file_name.clone() };
        match search.read_bounded(part.reader(), u64::from(size), None) {
            Contents::Whole(bytes) => search.object(&bytes, &place, 0),
            Contents::Stopped(limit) => search.limit(limit),
            Contents::Broken => search.report.unreadable = true,
        }
    }
    search.report
}

const NO_MEMORY: &str = "something does not fit into the stage's memory";

struct Search<'a> {
    signatures: &'a Signatures,
    limits: &'a Limits,
    /// Of `limits.total_size`.
    left: u64,
    report: Report,
}

/// What came of reading something.
enum Contents {
    Whole(Vec<u8>),
    Stopped(String),
    Broken,
}

impl Search<'_> {
    /// Whether what is in a large part makes no difference: no signature is about content of its size, it is within the limits, and by
    /// its start and its end it is no archive. Then it need not be brought here.
    fn can_not_matter(&self, part: &Part<'_>, size: u32) -> bool {
        let start = u32::try_from(ARCHIVE_TAIL).unwrap_or(u32::MAX);
        if size <= start || u64::from(size) > self.limits.file_size.min(self.left) {
            return false;
        }
        if usize::try_from(size).is_ok_and(|size| self.signatures.can_match(size)) {
            return false;
        }
        let mut tail = Vec::with_capacity(ARCHIVE_TAIL);
        let read = part.reader_at(size.saturating_sub(start)).read_to_end(&mut tail);
        let head = part.start(4);
        read.is_ok() && !is_gzip(&head) && !is_zip(&head, &tail)
    }

    /// Counts a part that was not read as if it had been.
    fn pass(&mut self, size: u32) {
        self.report.scanned = self.report.scanned.saturating_add(1);
        self.left = self.left.saturating_sub(u64::from(size));
    }

    /// Scans one thing, then what is in it.
    fn object(&mut self, bytes: &[u8], place: &InfectedPart, depth: u32) {
        self.report.scanned = self.report.scanned.saturating_add(1);
        if let Some(virus) = self.signatures.find(bytes) {
            self.report.finds.push(Find { virus: virus.to_owned(), part: Some(place.clone()) });
            return;
        }
        if is_zip(bytes, bytes.get(bytes.len().saturating_sub(ARCHIVE_TAIL)..).unwrap_or_default()) {
            self.inside(depth, |search| search.zip(bytes, place, depth));
        } else if is_gzip(bytes) {
            self.inside(depth, |search| search.gzip(bytes, place, depth));
        }
    }

    fn inside(&mut self, depth: u32, look: impl FnOnce(&mut Self)) {
        if depth >= self.limits.depth {
            self.limit(format!("archives are nested deeper than {}", self.limits.depth));
        } else {
            look(self);
        }
    }

    fn zip(&mut self, bytes: &[u8], place: &InfectedPart, depth: u32) {
        let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else {
            return self.damaged_zip(bytes, place, depth);
        };
        for index in 0..archive.len() {
            if self.exhausted() {
                return;
            }
            match archive.by_index(index) {
                Ok(member) if member.is_dir() => {}
                Ok(member) => {
                    let inner = within(place, &member.name().unwrap_or_default());
                    let (packed, size) = (member.compressed_size(), member.size());
                    self.member(member, packed, size, &inner, depth);
                }
                Err(error) => self.closed_member(&error),
            }
        }
    }

    /// The directory at the end is missing or broken; unpackers that go by the members' own headers still read these.
    fn damaged_zip(&mut self, bytes: &[u8], place: &InfectedPart, depth: u32) {
        self.report.unreadable = true;
        let mut rest = Cursor::new(bytes);
        while !self.exhausted() {
            match read_zipfile_from_stream(&mut rest) {
                Ok(Some(member)) => {
                    let inner = within(place, &member.name().unwrap_or_default());
                    let (packed, size) = (member.compressed_size(), member.size());
                    self.member(member, packed, size, &inner, depth);
                }
                Ok(None) => return,
                Err(error) => {
                    self.closed_member(&error);
                    return;
                }
            }
        }
    }

    fn gzip(&mut self, bytes: &[u8], place: &InfectedPart, depth: u32) {
        let inner = within(place, "(gzip)");
        let packed = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.member(flate2::read::MultiGzDecoder::new(bytes), packed, packed.saturating_mul(3), &inner, depth);
    }

    fn member(&mut self, content: impl Read, packed: u64, size: u64, place: &InfectedPart, depth: u32) {
        match self.read_bounded(content, size, Some(packed)) {
            Contents::Whole(bytes) => self.object(&bytes, place, depth.saturating_add(1)),
            Contents::Stopped(limit) => self.limit(limit),
            Contents::Broken => self.report.unreadable = true,
        }
    }

    fn closed_member(&mut self, error: &ZipError) {
        match error {
            ZipError::UnsupportedArchive(why) if *why == ZipError::PASSWORD_REQUIRED => self.report.encrypted = true,
            _ => self.report.unreadable = true,
        }
    }

    /// Reads to the end, or up to the first limit. `size` is what it says to be, so that memory is taken once and not
    /// in steps that double it; it may lie.
    fn read_bounded(&mut self, content: impl Read, size: u64, packed: Option<u64>) -> Contents {
        let by_ratio =
            packed.map_or(u64::MAX, |packed| packed.saturating_mul(u64::from(self.limits.ratio)).max(ANY_RATIO_UP_TO));
        let allowed = self.limits.file_size.min(self.left).min(by_ratio);
        let mut bytes = Vec::new();
        let wanted = usize::try_from(size.min(allowed).saturating_add(1)).unwrap_or(usize::MAX);
        if bytes.try_reserve_exact(wanted).is_err() {
            return Contents::Stopped(NO_MEMORY.to_owned());
        }
        let outcome = content.take(allowed.saturating_add(1)).read_to_end(&mut bytes);
        let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let over = read > allowed;
        let left = self.left;
        self.left = self.left.saturating_sub(read);
        match outcome {
            _ if over && allowed == by_ratio => {
                Contents::Stopped(format!("something unpacks to more than {} times its size", self.limits.ratio))
            }
            _ if over && allowed == left => {
                Contents::Stopped(format!("all together is larger than {} bytes", self.limits.total_size))
            }
            _ if over => Contents::Stopped(format!("something is larger than {} bytes", self.limits.file_size)),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Contents::Stopped(NO_MEMORY.to_owned()),
            // What could be read of a damaged member is scanned: other unpackers may give the same to the reader.
            Err(_) if bytes.is_empty() => Contents::Broken,
            Err(_) => {
                self.report.unreadable = true;
                Contents::Whole(bytes)
            }
            Ok(_) => Contents::Whole(bytes),
        }
    }

    /// Whether nothing more may be scanned though there is more: a limit, then, and noted as such.
    fn exhausted(&mut self) -> bool {
        if self.report.scanned >= self.limits.files {
            self.limit(format!("it has more than {} files", self.limits.files));
        } else if self.left == 0 {
            self.limit(format!("all together is larger than {} bytes", self.limits.total_size));
        } else {
            return false;
        }
        true
    }

    /// Keeps the first limit.
    fn limit(&mut self, limit: String) {
        self.report.limit.get_or_insert(limit);
    }
}

/// By its first bytes, or by the end-of-directory record in its last bytes, [`ARCHIVE_TAIL`] at least.
fn is_zip(head: &[u8], tail: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || memchr::memmem::find(tail, b"PK\x05\x06").is_some()
}

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b, 0x08])
}

fn within(place: &InfectedPart, member: &str) -> InfectedPart {
    InfectedPart { id: place.id, path: format!("{}/{member}", place.path) }
}
