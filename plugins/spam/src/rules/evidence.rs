//! What rules look at: gathered once for a message.

use super::{
    contains,
    phrases::{PhraseCounts, Phrases},
    urls::{Url, urls},
};
use std::borrow::Cow;
use wasmilter_sdk::{
    Address, HeaderField, Message, PartKind, PartRole,
    text::{Stretch, stretches},
};

/// Most text of a part that is looked at.
const MOST_TEXT: u32 = 200_000;
/// Most text of all parts together.
const MOST_TEXT_IN_ALL: usize = 500_000;

/// What can be seen of a message.
pub(crate) struct Evidence<'m> {
    headers: &'m [HeaderField],
    pub(crate) subject: String,
    /// The address of the first From mailbox, in lower case.
    pub(crate) author_address: String,
    pub(crate) author_name: String,
    pub(crate) reply_to: Vec<Address>,
    pub(crate) to: Vec<Address>,
    /// Envelope sender.
    pub(crate) sender_domain: String,
    pub(crate) helo: String,
    pub(crate) client_name: String,
    pub(crate) client_address: String,
    pub(crate) authenticated: bool,
    /// Readable text, HTML without its tags, in lower case, white space made single.
    pub(crate) text: String,
    /// HTML as written, its ASCII in lower case.
    pub(crate) html: String,
    pub(crate) has_plain: bool,
    pub(crate) has_html: bool,
    pub(crate) urls: Vec<Url>,
    pub(crate) phrases: PhraseCounts,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) charsets: Vec<String>,
    pub(crate) images: u32,
    pub(crate) text_in_base64: bool,
    /// Share of capital letters in the text as written, 0 to 1; 0 for little text.
    pub(crate) capitals: f64,
    pub(crate) gtube: bool,
}

/// An attached file.
pub(crate) struct Attachment {
    /// Lower case.
    pub(crate) name: String,
    pub(crate) media_type: String,
}

impl<'m> Evidence<'m> {
    /// `headers`: all fields of the message.
    pub(crate) fn gather(message: &Message, headers: &'m [HeaderField], phrases: &Phrases) -> Self {
        let client = message.client();
        let from = message.addresses("From");
        let mut evidence = Self {
            headers,
            subject: message.subject(),
            author_address: from.first().map(|from| from.address.to_lowercase()).unwrap_or_default(),
            author_name: from.into_iter().next().map(|from| from.name).unwrap_or_default(),
            reply_to: message.addresses("Reply-To"),
            to: message.addresses("To"),
            sender_domain: message.sender().domain,
            helo: client.helo.to_lowercase(),
            client_name: client.hostname.to_lowercase(),
            client_address: client.address,
            authenticated: !client.auth_user.is_empty(),
            text: String::new(),
            html: String::new(),
            has_plain: false,
            has_html: false,
            urls: Vec::new(),
            phrases: PhraseCounts::default(),
            attachments: Vec::new(),
            charsets: Vec::new(),
            images: 0,
            text_in_base64: false,
            capitals: 0.0,
            gtube: false,
        };
        let mut written = String::new();
        for part in message.parts().into_iter().filter(|part| part.kind == PartKind::Leaf) {
            let html = part.media_type == "text/html";
            let plain = part.media_type == "text/plain";
            let readable = (html || plain)
                && part.encoded_size > 0
                && part.disposition != "attachment"
                && matches!(part.role, PartRole::Body | PartRole::Signed);
            if !readable {
                evidence.images = evidence.images.saturating_add(u32::from(part.media_type.starts_with("image/")));
                evidence
                    .attachments
                    .push(Attachment { name: part.file_name.to_lowercase(), media_type: part.media_type.clone() });
                continue;
            }
            evidence.text_in_base64 |= part.encoding == "base64" && matches!(part.charset.as_str(), "" | "us-ascii");
            evidence.charsets.push(part.charset.clone());
            if written.len() >= MOST_TEXT_IN_ALL {
                continue;
            }
            let text = part.text(MOST_TEXT);
            evidence.urls.extend(urls(&text));
            if html {
                evidence.has_html = true;
                written.push_str(&without_tags(&text));
                // What rules look for in it is ASCII.
                evidence.html.push_str(&text.to_ascii_lowercase());
            } else {
                evidence.has_plain = true;
                written.push_str(&text);
            }
            written.push('\n');
        }
        evidence.gtube = contains(&written, &gtube());
        evidence.capitals = share_of_capitals(&written);
        evidence.text = searchable(&written);
        evidence.phrases = phrases.count([&searchable(&evidence.subject), &evidence.text]);
        evidence
    }

    /// Whether there is a field of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|field| field.is_named(name))
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|field| field.is_named(name)).count()
    }

    /// The first field of that name, as text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> Cow<'m, str> {
        let Some(field) = self.headers.iter().find(|field| field.is_named(name)) else { return Cow::Borrowed("") };
        match String::from_utf8_lossy(&field.value) {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        }
    }

    pub(crate) fn author_domain(&self) -> &str {
        domain(&self.author_address)
    }

    /// Answers to other mail, as a mail program writes them.
    pub(crate) fn is_reply(&self) -> bool {
        self.has("In-Reply-To") && self.has("References")
    }
}

pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default()
}

/// The agreed test string (Generic Test for Unsolicited Bulk Email), put together here so that this very file is not
/// taken for spam.
fn gtube() -> String {
    ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL", "*C.34X"].concat()
}

/// HTML without tags, comments, styles and scripts; the usual entities decoded. Good enough to look for phrases.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let (before, tag) = rest.split_at(at);
        push_decoded(&mut text, before);
        let name = tag_name(tag);
        let is = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
        // Words on both sides of a block are words of their own; a bold letter in a word is not.
        if !["b", "/b", "i", "/i", "span", "/span", "font", "/font", "u", "/u"].into_iter().any(is) {
            text.push(' ');
        }
        let behind = if name.starts_with(b"!--") {
            memchr::memmem::find(tag.as_bytes(), b"-->").map(|at| at.saturating_add(3))
        } else if is("style") {
            behind_end_tag(tag, "</style>")
        } else if is("script") {
            behind_end_tag(tag, "</script>")
        } else {
            memchr::memchr(b'>', tag.as_bytes()).map(|at| at.saturating_add(1))
        };
        rest = behind.and_then(|at| tag.get(at..)).unwrap_or_default();
    }
    push_decoded(&mut text, rest);
    text
}

/// The name of a tag that begins here, as far as it matters; with a slash for one that closes.
fn tag_name(tag: &str) -> &[u8] {
    let behind = tag.as_bytes().get(1..).unwrap_or_default();
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!-/".contains(byte);
    let length = behind.iter().take(8).take_while(|byte| is_of_name(byte)).count();
    behind.get(..length).unwrap_or_default()
}

/// Where what follows an element begins; `end`: its last tag in lower case.
fn behind_end_tag(text: &str, end: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).find_map(|at| {
        let behind = at.checked_add(end.len())?;
        bytes.get(at..behind)?.eq_ignore_ascii_case(end.as_bytes()).then_some(behind)
    })
}

/// What is written instead of characters in HTML, as far as it matters.
const ENTITIES: [(&str, char); 7] = [
    ("&nbsp;", ' '),
    ("&#39;", '\''),
    ("&quot;", '"'),
    ("&rsquo;", '\''),
    ("&lt;", '<'),
    ("&gt;", '>'),
    ("&amp;", '&'),
];

/// Appends a text of HTML, with entities decoded.
fn push_decoded(text: &mut String, html: &str) {
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, entity) = rest.split_at(at);
        text.push_str(before);
        let known = ENTITIES.iter().find_map(|(name, c)| Some((entity.strip_prefix(name)?, *c)));
        let (behind, c) = known.unwrap_or((entity.get(1..).unwrap_or_default(), '&'));
        text.push(c);
        rest = behind;
    }
    text.push_str(rest);
}

/// Lower case, white space made single, typographic apostrophes made plain.
fn searchable(text: &str) -> String {
    let mut result = Vec::with_capacity(text.len());
    let mut space = true;
    for stretch in stretches(text) {
        match stretch {
            Stretch::Ascii(plain) => space = push_searchable(&mut result, plain.as_bytes(), space),
            Stretch::Other(c) if c.is_whitespace() => {
                if !space {
                    result.push(b' ');
                }
                space = true;
            }
            Stretch::Other(c) => {
                space = false;
                match c {
                    '\u{2018}' | '\u{2019}' => result.push(b'\''),
                    // Invisible ones, put in to hide words.
                    '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => {}
                    c => c.to_lowercase().for_each(|c| result.extend(c.encode_utf8(&mut [0; 4]).bytes())),
                }
            }
        }
    }
    // Only whole characters were put into it.
    String::from_utf8(result).unwrap_or_default()
}

/// Appends ASCII; `space`: whether white space stands before it. Returns whether it ends in white space.
fn push_searchable(result: &mut Vec<u8>, plain: &[u8], mut space: bool) -> bool {
    let (pieces, rest) = plain.as_chunks::<16>();
    for piece in pieces {
        // Words with single spaces between them, which most pieces are, stay as they are.
        if has_only_single_spaces(piece) && !(space && piece.starts_with(b" ")) {
            result.extend_from_slice(&piece.map(|byte| byte.to_ascii_lowercase()));
            space = piece.ends_with(b" ");
        } else {
            space = push_one_by_one(result, piece, space);
        }
    }
    push_one_by_one(result, rest, space)
}

fn push_one_by_one(result: &mut Vec<u8>, plain: &[u8], mut space: bool) -> bool {
    for byte in plain {
        let white = matches!(byte, b'\t'..=b'\r' | b' ');
        if !white {
            result.push(byte.to_ascii_lowercase());
        } else if !space {
            result.push(b' ');
        }
        space = white;
    }
    space
}

/// Whether the only white space in it is spaces, of which no two are neighbours.
fn has_only_single_spaces(piece: &[u8; 16]) -> bool {
    // Without branches, so that the compiler looks at all bytes at once.
    let other_white = piece.iter().fold(false, |any, byte| any | matches!(byte, b'\t'..=b'\r'));
    let next = piece.iter().skip(1);
    let two = piece.iter().zip(next).fold(false, |any, (one, next)| any | ((*one == b' ') & (*next == b' ')));
    !other_white & !two
}

#[allow(clippy::cast_precision_loss, reason = "at most some 500 000")]
fn share_of_capitals(text: &str) -> f64 {
    let letters = count(text, |byte| byte.is_ascii_alphabetic());
    let capitals = count(text, |byte| byte.is_ascii_uppercase());
    if letters < 200 { 0.0 } else { capitals as f64 / letters as f64 }
}

/// How many bytes are of a kind. Counted in a byte at first, so that the compiler looks at many at once.
fn count(text: &str, kind: impl Fn(u8) -> bool) -> usize {
    let in_piece = |piece: &[u8]| piece.iter().fold(0_u8, |sum, byte| sum.saturating_add(u8::from(kind(*byte))));
    text.as_bytes().chunks(128).map(|piece| usize::from(in_piece(piece))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_the_text_that_people_read() {
        let html = "<STYLE>p{}</Style><p>cl<b>i</b>ck<!-- <x> -->&nbsp;here</p><script>x<y</script>now &amp; then<br";
        assert_eq!(searchable(&without_tags(html)).trim(), "click here now & then");
        assert_eq!(without_tags("a < b"), "a  ");
        assert_eq!(without_tags("x & y &amp;lt; &copy; &"), "x & y &lt; &copy; &");
        assert_eq!(without_tags("a<!-- > -->b<!--c"), "a b ");
        assert_eq!(without_tags("a<sc\u{f6}>b<"), "a b ");
    }

    #[test]
    fn letters_are_counted_in_pieces() {
        let text = "aB, ".repeat(99);
        assert_eq!(count(&text, |byte| byte.is_ascii_alphabetic()), 198);
        assert!(share_of_capitals(&text) < 0.1 && (share_of_capitals(&"aB, ".repeat(100)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn text_is_searched_without_regard_to_case_space_and_disguise() {
        for (written, searched) in [
            ("  Buy\t\r\n NOW \u{a0} Ämter", "buy now ämter"),
            ("vi\u{200b}ag\u{ad}ra don\u{2019}t", "viagra don't"),
            ("\u{b}\u{c}x\u{1f}y\u{85}Z", "x\u{1f}y z"),
            ("ПРИВЕТ МИР", "привет мир"),
            ("Sixteen letters and then some more words", "sixteen letters and then some more words"),
            ("Fifteen of them  and two spaces at the edge ", "fifteen of them and two spaces at the edge "),
            ("sixteen letters. \u{a0} then white", "sixteen letters. then white"),
            ("", ""),
        ] {
            assert_eq!(searchable(written), searched, "{written:?}");
        }
    }
}
