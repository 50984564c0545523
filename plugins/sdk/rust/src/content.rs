//! New content: parts, texts, the whole. The edits of the content go into a decision together
//! ([`Decision::with_content`](crate::Decision::with_content)), because those of one kind exclude those of the other.

use crate::{
    Edit, HeaderValue, Part,
    bindings::message::exports::wasmilter::policy::message_policy as contract,
    invalid::{Invalid, one_line},
    message::Blob,
};
use std::borrow::Cow;

/// The host takes no longer media types and file names.
const LONGEST_NAME: usize = 1000;
/// The host takes no longer content ids.
const LONGEST_ID: usize = 200;
/// The host adds no longer texts to a part.
const LONGEST_ANNOTATION: usize = 256 << 10;

/// What happens to the content of the message.
#[derive(Debug, Clone)]
pub enum ContentEdit {
    /// Some parts change; the others stay byte for byte.
    Parts(PartEdits),
    /// Other content takes the place of all.
    Whole(Entity),
}

impl From<PartEdits> for ContentEdit {
    fn from(edits: PartEdits) -> Self {
        Self::Parts(edits)
    }
}

impl From<Entity> for ContentEdit {
    fn from(entity: Entity) -> Self {
        Self::Whole(entity)
    }
}

impl ContentEdit {
    pub(crate) fn into_contract(self) -> Vec<Edit> {
        match self {
            Self::Parts(edits) => edits.0,
            Self::Whole(entity) => vec![Edit::ReplaceContent(entity.0)],
        }
    }
}

/// Changes of parts, in order. Parts are named by what [`Message::parts`](crate::Message::parts) gave: there is no other way.
#[derive(Debug, Clone, Default)]
pub struct PartEdits(Vec<Edit>);

impl PartEdits {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces a part and everything below it. Needs the grants of the parts that go.
    #[must_use]
    pub fn replace(self, part: &Part<'_>, replacement: NewPart) -> Self {
        self.with(Edit::ReplacePart(contract::PartReplacement { part: part.id, replacement: replacement.0 }))
    }

    /// Removes a part and everything below it. Needs the grants of the parts that go.
    #[must_use]
    pub fn remove(self, part: &Part<'_>) -> Self {
        self.with(Edit::RemovePart(part.id))
    }

    /// Adds a part at the end; the message becomes a multipart/mixed when it is none. Needs the grant `attachments`.
    #[must_use]
    pub fn add_part(self, part: NewPart) -> Self {
        self.with(Edit::AddPart(part.0))
    }

    /// Puts a text after what people read. Needs the grant `text`.
    #[must_use]
    pub fn append_text(self, text: Annotation) -> Self {
        self.with(Edit::AppendText(text.0))
    }

    /// Puts a text before what people read; of several the first ends on top. Needs the grant `text`.
    #[must_use]
    pub fn prepend_text(self, text: Annotation) -> Self {
        self.with(Edit::PrependText(text.0))
    }

    fn with(mut self, edit: Edit) -> Self {
        self.0.push(edit);
        self
    }
}

/// A text for what people read: `plain` goes into the text/plain parts, `html`, a fragment, into the text/html parts. The
/// host takes care of charsets and transfer encodings.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation(contract::Annotation);

impl Annotation {
    /// Both kinds; empty: that kind of part is left alone.
    ///
    /// # Errors
    /// When one has NUL or more than 256 KiB.
    pub fn new(plain: impl Into<String>, html: impl Into<String>) -> Result<Self, Invalid> {
        let (plain, html) = (plain.into(), html.into());
        for text in [&plain, &html] {
            if text.len() > LONGEST_ANNOTATION {
                return Err(Invalid::new(format!("must have at most {LONGEST_ANNOTATION} bytes, has {}", text.len())));
            }
            if text.contains('\0') {
                return Err(Invalid::new("must not contain NUL"));
            }
        }
        Ok(Self(contract::Annotation { plain, html }))
    }

    /// A plain text, and the same as HTML: escaped, in a `div`, with line breaks.
    ///
    /// # Errors
    /// As [`Annotation::new`].
    pub fn text(plain: impl Into<String>) -> Result<Self, Invalid> {
        let plain = plain.into();
        let html = format!("<div>{}</div>\n", escape_html(plain.trim_matches('\n')).replace('\n', "<br>\n"));
        Self::new(plain, html)
    }
}

/// Text in HTML, outside of tags and in attributes.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// A part to add or to put in the place of another. The host encodes it and writes its header fields.
#[derive(Debug, Clone)]
pub struct NewPart(contract::NewPart);

impl NewPart {
    /// A text, shown where it stands.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(&MediaType::from_static("text/plain"), text.into())
    }

    /// An HTML document, shown where it stands.
    #[must_use]
    pub fn html(html: impl Into<String>) -> Self {
        Self::new(&MediaType::from_static("text/html"), html.into())
    }

    /// Content of any type.
    #[must_use]
    pub fn new(media_type: &MediaType, content: impl Into<Content>) -> Self {
        Self(contract::NewPart {
            media_type: media_type.0.clone().into_owned(),
            file_name: String::new(),
            disposition: String::new(),
            content_id: String::new(),
            content: content.into().0,
        })
    }

    /// Makes it a file to save, of that name; control characters become spaces, what is beyond 1000 bytes is cut off.
    #[must_use]
    pub fn with_file_name(mut self, name: &str) -> Self {
        self.0.file_name = one_line(name, LONGEST_NAME);
        self
    }

    /// Shows it where it stands, though it has a file name.
    #[must_use]
    pub fn inline(mut self) -> Self {
        "inline".clone_into(&mut self.0.disposition);
        self
    }

    /// Makes it something to save, though it has no file name.
    #[must_use]
    pub fn attachment(mut self) -> Self {
        "attachment".clone_into(&mut self.0.disposition);
        self
    }

    /// Gives it a content id that HTML refers to as `cid:…`.
    ///
    /// # Errors
    /// When it is not 1 to 200 printable US-ASCII characters without quotes, brackets and backslashes.
    pub fn with_content_id(mut self, id: impl Into<String>) -> Result<Self, Invalid> {
        let id = id.into();
        let valid = |byte: u8| byte.is_ascii_graphic() && !b"<>()\"\\".contains(&byte);
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(valid) {
            return Err(Invalid::new(format!("must be a content id without brackets, is {id:?}")));
        }
        self.0.content_id = id;
        Ok(self)
    }
}

/// A media type with parameters where needed, such as `text/calendar; method=REQUEST`. Not `multipart/…`, which can not be
/// written as one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// A type that is known when the plugin is written. In a `const` a bad one does not compile.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub const fn from_static(media_type: &'static str) -> Self {
        assert!(is_media_type(media_type.as_bytes()), "not a media type of one part");
        Self(Cow::Borrowed(media_type))
    }

    /// A type that comes from elsewhere.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(media_type: impl Into<String>) -> Result<Self, Invalid> {
        let media_type = media_type.into();
        if !is_media_type(media_type.as_bytes()) {
            return Err(Invalid::new(format!("must be the media type of one part, is {media_type:?}")));
        }
        Ok(Self(Cow::Owned(media_type)))
    }
}

/// RFC 2045 §5.1: token, slash, token, then nothing or parameters; of those only that they are printable US-ASCII.
#[allow(clippy::indexing_slicing, reason = "a const fn has no iterators; the index is below the length")]
const fn is_media_type(text: &[u8]) -> bool {
    let (mut index, mut slash) = (0_usize, 0_usize);
    while index < text.len() && text[index] != b';' && text[index] != b' ' {
        match text[index] {
            b'/' if slash == 0 && index > 0 => slash = index,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'=' => {
                return false;
            }
            byte if !byte.is_ascii_graphic() => return false,
            _ => {}
        }
        index = index.saturating_add(1);
    }
    if slash == 0 || slash.saturating_add(1) == index || text.len() > LONGEST_NAME {
        return false;
    }
    while index < text.len() {
        if text[index] != b' ' && !text[index].is_ascii_graphic() {
            return false;
        }
        index = index.saturating_add(1);
    }
    match text.split_first_chunk::<10>() {
        Some((start, _)) => !start.eq_ignore_ascii_case(b"multipart/"),
        None => true,
    }
}

/// Bytes of new content: a `String`, a `Vec<u8>`, or a [`Blob`] when they are many.
#[derive(Debug, Clone)]
pub struct Content(contract::Content);

impl Content {
    /// What the contract says.
    #[must_use]
    pub const fn as_contract(&self) -> &contract::Content {
        &self.0
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(contract::Content::Inline(bytes))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self(contract::Content::Inline(text.into_bytes()))
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(contract::Content::Inline(text.as_bytes().to_vec()))
    }
}

impl From<Blob<'_>> for Content {
    fn from(blob: Blob<'_>) -> Self {
        Self(contract::Content::Blob(blob.id()))
    }
}

/// New content of the message as a whole: its MIME header fields, and the body as it goes out (encoded, lines ended by CRLF).
/// All other header fields stay. Needs the grant `raw`.
#[derive(Debug, Clone)]
pub struct Entity(contract::Entity);

/// A header field of an [`Entity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentField {
    /// `Content-Type`
    Type,
    /// `Content-Transfer-Encoding`
    TransferEncoding,
    /// `Content-Disposition`
    Disposition,
    /// `Content-Description`
    Description,
    /// `Content-ID`
    Id,
    /// `Content-Language`
    Language,
}

impl ContentField {
    const fn name(self) -> &'static str {
        match self {
            Self::Type => "Content-Type",
            Self::TransferEncoding => "Content-Transfer-Encoding",
            Self::Disposition => "Content-Disposition",
            Self::Description => "Content-Description",
            Self::Id => "Content-ID",
            Self::Language => "Content-Language",
        }
    }
}

impl Entity {
    /// A body with `MIME-Version: 1.0`, and nothing else said about it yet.
    #[must_use]
    pub fn new(body: impl Into<Content>) -> Self {
        let version = contract::NewHeader { name: "MIME-Version".to_owned(), value: "1.0".to_owned() };
        Self(contract::Entity { headers: vec![version], body: body.into().0 })
    }

    /// Adds a field; one that is there already is replaced.
    #[must_use]
    pub fn with(mut self, field: ContentField, value: HeaderValue) -> Self {
        self.0.headers.retain(|header| header.name != field.name());
        let value = value.as_str().to_owned();
        self.0.headers.push(contract::NewHeader { name: field.name().to_owned(), value });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_held_to_the_host_s_rules() {
        for good in ["text/plain", "text/calendar; method=REQUEST", "application/vnd.ms-excel", "image/svg+xml"] {
            assert!(MediaType::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "a/b/c",
            "multipart/mixed",
            "Multipart/x",
            "text/plain\r\nX: y",
            "té/x",
            "a b/c",
        ] {
            assert!(MediaType::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_ids_of_parts_are_held_to_the_host_s_rules() {
        let part = NewPart::text("x").with_file_name("a\r\nX-Evil: yes");
        assert_eq!(part.0.file_name, "a  X-Evil: yes");
        assert!(part.clone().with_content_id("logo@example.org").is_ok() && part.with_content_id("<logo>").is_err());
    }

    #[test]
    fn annotations_have_a_limit_and_no_nul() {
        assert!(Annotation::text("a < b\n").is_ok_and(|text| text.0.html == "<div>a &lt; b</div>\n"));
        assert!(Annotation::new("a\0", "").is_err() && Annotation::new("", "x".repeat((256 << 10) + 1)).is_err());
    }
}
