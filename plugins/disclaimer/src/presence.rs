//! Noticing that a message carries the text already, as its own or quoted from an earlier message of the thread.

use crate::template::Template;
use memchr::memmem;
use wasmilter_sdk::{
    HeaderName,
    text::{Stretch, stretches},
};

/// The letters and digits of a template, in lower case, in pieces between its variables. Everything else is left out of
/// the comparison: mail programs rewrap lines, put `>` before them, turn quotes and spaces into others, and make HTML of
/// text.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pieces: Vec<String>,
    /// Its longest words, in lower case: a text without one of them needs no closer look.
    longest: Vec<String>,
}

/// The shortest word of ASCII that is worth looking for by itself.
const LONG: usize = 5;
/// As many of them are looked for.
const MOST_LONG: usize = 3;

impl Words {
    pub(crate) fn of(template: &Template) -> Self {
        let words = template.literals().flat_map(|literal| literal.split(|c: char| !c.is_ascii_alphabetic()));
        let mut longest: Vec<String> = words.filter(|word| word.len() >= LONG).map(str::to_ascii_lowercase).collect();
        longest.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        longest.dedup();
        longest.truncate(MOST_LONG);
        let pieces = template.literals().map(letters_and_digits).filter(|piece| !piece.is_empty()).collect();
        Self { pieces, longest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Letters and digits in all.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.chars().count()).sum()
    }

    /// Whether all pieces are in `text`, in their order.
    pub(crate) fn are_in(&self, text: &str, html: bool) -> bool {
        if !self.longest_are_in(text) {
            return false;
        }
        let text = if html { letters_and_digits(&text_of_html(text)) } else { letters_and_digits(text) };
        let mut rest = text.as_bytes();
        self.pieces.iter().all(|piece| match memmem::find(rest, piece.as_bytes()) {
            Some(at) => {
                rest = rest.get(at.saturating_add(piece.len())..).unwrap_or_default();
                true
            }
            None => false,
        })
    }

    /// Whether all of the longest words are there, if there are any: no mail program breaks a word of ASCII, or writes its letters
    /// otherwise than in small and capital letters.
    fn longest_are_in(&self, text: &str) -> bool {
        if self.longest.is_empty() {
            return true;
        }
        let lower = text.to_ascii_lowercase();
        self.longest.iter().all(|word| memmem::find(lower.as_bytes(), word.as_bytes()).is_some())
    }
}

fn letters_and_digits(text: &str) -> String {
    let mut result = Vec::with_capacity(text.len());
    for stretch in stretches(text) {
        match stretch {
            Stretch::Ascii(plain) => push_letters_and_digits(&mut result, plain.as_bytes()),
            Stretch::Other(character) if character.is_alphanumeric() => {
                character.to_lowercase().for_each(|lower| result.extend(lower.encode_utf8(&mut [0; 4]).bytes()));
            }
            Stretch::Other(_) => {}
        }
    }
    // Only whole characters were put into it.
    String::from_utf8(result).unwrap_or_default()
}

/// Appends those of ASCII. Every byte is written and only those that count move the end, which spares a branch that no processor
/// can foresee.
fn push_letters_and_digits(result: &mut Vec<u8>, plain: &[u8]) {
    let mut end = result.len();
    result.resize(end.saturating_add(plain.len()), 0);
    for byte in plain {
        if let Some(place) = result.get_mut(end) {
            *place = byte.to_ascii_lowercase();
        }
        end = end.saturating_add(usize::from(byte.is_ascii_alphanumeric()));
    }
    result.truncate(end);
}

/// What is left of HTML without its tags, comments, scripts and styles, with character references resolved as far as
/// letters are concerned. Good enough to find a text; never used to show something.
fn text_of_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = cut(rest, b'<') {
        push_resolved(&mut text, before);
        rest = after_tag(tag);
    }
    push_resolved(&mut text, rest);
    text
}

/// As `str::split_once`, which takes several times as long.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(at, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// What follows a tag whose `<` was read already, with everything that belongs to a comment, script or style.
fn after_tag(tag: &str) -> &str {
    if let Some(comment) = tag.strip_prefix("!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    for (name, end) in [("script", "</script"), ("style", "</style")] {
        let named = tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if named {
            let is_end = |at: &usize| {
                let behind = tag.get(*at..).and_then(|rest| rest.get(..end.len()));
                behind.is_some_and(|behind| behind.eq_ignore_ascii_case(end))
            };
            let at = memchr::memchr_iter(b'<', tag.as_bytes()).find(is_end);
            let after = at.and_then(|at| tag.get(at..)).unwrap_or("");
            return cut(after, b'>').map_or("", |(_, after)| after);
        }
    }
    cut(tag, b'>').map_or("", |(_, after)| after)
}

fn push_resolved(text: &mut String, mut piece: &str) {
    while let Some((before, reference)) = cut(piece, b'&') {
        text.push_str(before);
        // Longest name that matters has 6 letters; what is no reference stays.
        let end = reference.char_indices().take(10).find(|(_, character)| *character == ';').map(|(at, _)| at);
        let resolved = end.and_then(|end| resolve(reference.get(..end)?));
        match (resolved, end) {
            (Some(character), Some(end)) => {
                text.push(character);
                piece = reference.get(end + 1..).unwrap_or("");
            }
            _ => piece = reference,
        }
    }
    text.push_str(piece);
}

/// A numeric character reference, or one of the names for letters that mail programs write.
fn resolve(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    const LETTERS: [(&str, char); 34] = [
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("agrave", 'à'),
        ("aacute", 'á'),
        ("acirc", 'â'),
        ("atilde", 'ã'),
        ("aring", 'å'),
        ("aelig", 'æ'),
        ("ccedil", 'ç'),
        ("egrave", 'è'),
        ("eacute", 'é'),
        ("ecirc", 'ê'),
        ("euml", 'ë'),
        ("igrave", 'ì'),
        ("iacute", 'í'),
        ("icirc", 'î'),
        ("iuml", 'ï'),
        ("ntilde", 'ñ'),
        ("ograve", 'ò'),
        ("oacute", 'ó'),
        ("ocirc", 'ô'),
        ("otilde", 'õ'),
        ("oslash", 'ø'),
        ("ugrave", 'ù'),
        ("uacute", 'ú'),
        ("ucirc", 'û'),
        ("Eacute", 'É'),
        ("oelig", 'œ'),
        ("yuml", 'ÿ'),
    ];
    match name {
        "nbsp" | "amp" | "lt" | "gt" | "quot" | "apos" => Some(' '),
        _ => LETTERS.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter),
    }
}

/// OpenPGP in the text itself (RFC 9580 §6.2, §7): an annotation would end up outside of what is signed or encrypted, in
/// the midst of it for some readers.
pub(crate) fn is_inline_pgp(text: &str) -> bool {
    const BEGINNING: &str = "-----BEGIN PGP ";
    let mut found = memmem::find_iter(text.as_bytes(), BEGINNING);
    found.any(|at| {
        let starts_line = at.checked_sub(1).is_none_or(|before| text.as_bytes().get(before) == Some(&b'\n'));
        let line = text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim_end();
        starts_line && matches!(line, "-----BEGIN PGP SIGNED MESSAGE-----" | "-----BEGIN PGP MESSAGE-----")
    })
}

/// A header field that says that the text is there.
#[derive(Debug)]
pub(crate) struct Marker {
    pub(crate) name: HeaderName,
    /// Tells this text from another one: several stages may use one field.
    pub(crate) value: String,
}

impl Marker {
    /// # Errors
    /// When `name` is no name of a header field (RFC 5322 §2.2), or one that means something else.
    pub(crate) fn new(name: String, text: &str) -> Result<Self, String> {
        if !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-")) {
            return Err(format!("must be a header field's name that starts with \"X-\", is {name:?}"));
        }
        let name = HeaderName::new(name)?;
        Ok(Self { name, value: format!("added; id={:016x}", fingerprint(text)) })
    }

    pub(crate) fn is_on(&self, fields: &[String]) -> bool {
        fields.contains(&self.value)
    }
}

/// FNV-1a: tells texts apart, proves nothing.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
