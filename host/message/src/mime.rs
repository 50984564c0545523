//! The MIME tree of a message (RFC 2045, 2046): which parts it has and which bytes of the body each of them is.
//!
//! The tree holds no content. A part is a set of byte ranges into the body, so that an edit can name exactly the bytes
//! that change and leave all others alone, and so that nothing is decoded before somebody asks
//! (`decisions/0002-own-mime-structure.md`).
//!
//! Invariants: parsing never fails, takes time linear in the size of the body, and is bounded in depth
//! ([`MAX_DEPTH`]) and number of parts ([`MAX_PARTS`]). What is wrong with a message is said by [`Defect`]s.

pub mod charset;
pub mod encoding;
mod role;
mod scan;
pub(crate) mod section;
pub(crate) mod value;

use crate::headers::Headers;
use bytes::Bytes;
use std::{ops::Range, sync::OnceLock};

/// How deep parts may lie in each other; what lies deeper stays unopened, with [`Defect::TooDeep`]. Real mail stays
/// below ten.
pub const MAX_DEPTH: usize = 50;

/// How many parts are told apart; with [`Defect::TooManyParts`] the rest belongs to the last one.
pub const MAX_PARTS: usize = 10_000;

/// All parts of a message.
#[derive(Debug)]
pub struct Tree {
    parts: Vec<Part>,
    /// Decoded content by part id, once somebody asked.
    decoded: Vec<OnceLock<Decoded>>,
}

impl Tree {
    /// Finds the parts of the message that has these header fields and this body.
    #[must_use]
    pub fn parse(headers: &Headers, body: &Bytes) -> Self {
        let mut parts = scan::scan(headers, body);
        role::assign(&mut parts, body);
        let decoded = parts.iter().map(|_| OnceLock::new()).collect();
        Self { parts, decoded }
    }

    /// All parts in order of appearance; the first is the root. A part's id is its place in this list.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part with that id.
    #[must_use]
    pub fn part(&self, id: u32) -> Option<&Part> {
        self.parts.get(usize::try_from(id).ok()?)
    }

    /// The parts directly below that one.
    pub fn children(&self, id: u32) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.parent == id && part.id != id)
    }

    /// Decoded content of a leaf, decoded at the first call; empty for a multipart, a message and an unknown id.
    /// `body` must be the body that the tree was parsed from.
    pub(crate) fn decoded(&self, id: u32, body: &Bytes) -> Option<&Decoded> {
        let place = usize::try_from(id).ok()?;
        let part = self.parts.get(place).filter(|part| part.kind == Kind::Leaf)?;
        let content = body.get(part.content.clone()).map(|content| body.slice_ref(content))?;
        Some(self.decoded.get(place)?.get_or_init(|| encoding::decode(content, part.transfer_encoding())))
    }

    /// Whether the content of that part is at hand: nothing to decode, or decoded before.
    #[must_use]
    pub fn is_decoded(&self, id: u32) -> bool {
        let encoded = |part: &&Part| {
            part.kind == Kind::Leaf && !matches!(part.transfer_encoding(), encoding::Encoding::Identity { .. })
        };
        let Some(place) = usize::try_from(id).ok() else { return true };
        self.parts.get(place).filter(encoded).is_none()
            || self.decoded.get(place).is_some_and(|decoded| decoded.get().is_some())
    }

    /// What was wrong with a part: with its structure, and, once it has been decoded, with its transfer encoding.
    #[must_use]
    pub fn defects(&self, id: u32) -> Vec<Defect> {
        let Some(place) = usize::try_from(id).ok() else { return Vec::new() };
        let mut defects = self.parts.get(place).map(|part| part.defects.clone()).unwrap_or_default();
        defects.extend(self.decoded.get(place).and_then(OnceLock::get).and_then(|decoded| decoded.defect));
        defects
    }
}

/// Content of a part without its transfer encoding.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    /// A slice of the body when the part is not encoded.
    pub(crate) bytes: Bytes,
    /// What was wrong with the encoding.
    pub(crate) defect: Option<Defect>,
}

/// One part; mirrors `part` of `wit/message.wit`. Ranges are byte offsets into the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Place in the tree, from 0, in order of appearance.
    pub id: u32,
    /// The enclosing part; for the root 0, itself.
    pub parent: u32,
    /// Whether it has content or parts.
    pub kind: Kind,
    /// What it is to the reader.
    pub role: Role,
    /// In lower case without parameters; `text/plain` when missing or unreadable.
    pub media_type: String,
    /// In lower case; empty when missing.
    pub charset: String,
    /// Content-Transfer-Encoding in lower case; `7bit` when missing.
    pub encoding: String,
    /// In lower case; empty when missing.
    pub disposition: String,
    /// Decoded; empty for none.
    pub file_name: String,
    /// Without angle brackets; empty for none.
    pub content_id: String,
    /// What was wrong with the structure.
    pub defects: Vec<Defect>,
    /// Parameters of the media type that edits and roles need.
    pub(crate) parameters: Parameters,
    /// Header fields with the line end of the last one; empty for the root, whose fields are the message's.
    pub header: Range<usize>,
    /// Content as it stands in the message, without the line end that belongs to the next delimiter (RFC 2046 §5.1.1).
    pub content: Range<usize>,
    /// Header fields, empty line and content.
    pub entity: Range<usize>,
    /// Delimiter lines, for a multipart.
    pub(crate) delimiters: Option<Delimiters>,
    /// Start of the delimiter line that opens this part; None when it has none (the root, the root of an enclosed message).
    pub(crate) opened_at: Option<usize>,
}

impl Part {
    /// Bytes of the content as it stands in the message.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        self.content.len()
    }

    /// How the content is encoded.
    #[must_use]
    pub fn transfer_encoding(&self) -> encoding::Encoding {
        encoding::Encoding::named(&self.encoding)
    }
}

/// Parameters of a Content-Type field that are not part of the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// `format=flowed` (RFC 3676).
    pub(crate) flowed: bool,
    /// `delsp=yes` (RFC 3676).
    pub(crate) del_sp: bool,
    /// `smime-type` (RFC 8551), in lower case.
    pub(crate) smime_type: String,
    /// `start` of a multipart/related (RFC 2387), without angle brackets.
    pub(crate) start: String,
}

/// Where a multipart's delimiter lines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delimiters {
    /// The boundary parameter.
    pub(crate) boundary: Vec<u8>,
    /// The closing delimiter line from its first hyphen to its last byte before the line end; None when missing.
    pub(crate) close: Option<Range<usize>>,
}

/// Whether a part has content of its own or other parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has content of its own.
    Leaf,
    /// `multipart/*`: its children are the parts.
    Multipart,
    /// `message/rfc822`: its only child is the root of the enclosed message.
    Message,
}

/// What a part is to the reader, and to edits that annotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Shown as the message's text.
    Body,
    /// A file, an inline picture, a forwarded message.
    Attachment,
    /// Inside or part of something signed: changing it breaks the signature.
    Signed,
    /// Encrypted, or part of an encrypted structure.
    Encrypted,
    /// `multipart/*` without a role of its own.
    Container,
}

/// What can be wrong with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Content-Type is malformed; taken as text/plain, unless a media type can be made out.
    InvalidContentType,
    /// A field that must be single stands there several times; the first counts.
    DuplicateField,
    /// multipart/* without a boundary parameter; taken as a leaf.
    MissingBoundary,
    /// multipart/* in which no delimiter line was found; taken as a leaf.
    MissingStartBoundary,
    /// multipart/* that ends without its closing delimiter.
    MissingEndBoundary,
    /// Header fields that are not followed by an empty line.
    MissingEmptyLine,
    /// A multipart or an enclosed message with a transfer encoding, which RFC 2045 §6.4 forbids.
    EncodedComposite,
    /// Content-Transfer-Encoding that is not known; taken as not encoded.
    UnknownEncoding,
    /// base64 with bytes that do not belong there; they were skipped.
    InvalidBase64,
    /// quoted-printable with escapes that are none; they were taken literally.
    InvalidQuotedPrintable,
    /// Not opened because it lies deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The message has more than [`MAX_PARTS`] parts.
    TooManyParts,
}

impl Defect {
    /// Its name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidContentType => "invalid-content-type",
            Self::DuplicateField => "duplicate-field",
            Self::MissingBoundary => "missing-boundary",
            Self::MissingStartBoundary => "missing-start-boundary",
            Self::MissingEndBoundary => "missing-end-boundary",
            Self::MissingEmptyLine => "missing-empty-line",
            Self::EncodedComposite => "encoded-composite",
            Self::UnknownEncoding => "unknown-encoding",
            Self::InvalidBase64 => "invalid-base64",
            Self::InvalidQuotedPrintable => "invalid-quoted-printable",
            Self::TooDeep => "too-deep",
            Self::TooManyParts => "too-many-parts",
        }
    }
}
