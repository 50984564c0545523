//! Patterns in the content. ClamAV's .ndb: `NAME:TARGET:OFFSET:PATTERN[:MIN-LEVEL[:MAX-LEVEL]]`.
//!
//! Supported: target 0 (any file); offset `*`, `n`, `EOF-n`, the last two also with `,SHIFT`; in the pattern hexadecimal
//! bytes, `??`, `a?` and `?a`, `*`, `{n}`, `{n-m}`, `{n-}`, `{-n}`, `[n-m]`, `(aa|bbcc|…)` with plain bytes. A pattern
//! needs two plain bytes in a row before its first gap or alternative, as an anchor. What is valid but beyond that
//! (other targets, section offsets, negated or character classes) is skipped and counted.
//!
//! Search: one pass over the content finds all anchors (Aho-Corasick); for each pattern that has any, its pieces are
//! followed from there all at once, as the set of places where the pieces so far may end. So the work is bounded by
//! content × pieces, whatever the pattern.

use super::Line;
use aho_corasick::AhoCorasick;
use std::collections::{BTreeMap, BTreeSet};

/// Shortest anchor; ClamAV asks for the same.
const SHORTEST_ANCHOR: usize = 2;

#[derive(Default)]
pub(crate) struct BodySignatures {
    patterns: Vec<Pattern>,
    /// Its pattern ids are indices into `patterns`.
    anchors: Option<AhoCorasick>,
}

#[derive(Default)]
pub(crate) struct Builder {
    patterns: Vec<Pattern>,
    anchors: Vec<Vec<u8>>,
}

struct Pattern {
    name: String,
    offset: Offset,
    /// Where in the first piece its anchor is.
    anchor_at: usize,
    pieces: Vec<Piece>,
}

/// Where a pattern may begin.
#[derive(Debug, PartialEq, Eq)]
enum Offset {
    Anywhere,
    /// From the start, or that much later at most.
    Start(usize, usize),
    /// So many bytes before the end, or that much later at most.
    End(usize, usize),
}

/// Units in a row, after a gap of `least` to `most` bytes.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    least: usize,
    /// None: any number.
    most: Option<usize>,
    units: Vec<Unit>,
}

#[derive(Debug, PartialEq, Eq)]
enum Unit {
    /// A byte, of which only the bits in the mask count.
    Byte { value: u8, mask: u8 },
    /// One of several.
    Either(Vec<Vec<u8>>),
}

/// Why a pattern is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Unsupported,
    Wrong(String),
}

impl Builder {
    pub(crate) fn add_line(&mut self, line: &str) -> Result<Line, String> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, target, offset, pattern, ..] = fields.as_slice() else {
            return Err("must be NAME:TARGET:OFFSET:PATTERN".to_owned());
        };
        if name.is_empty() {
            return Err("has no name".to_owned());
        }
        let target: u32 = target.parse().map_err(|_| format!("its target must be a number, is {target:?}"))?;
        let read = read_offset(offset).and_then(|offset| Ok((offset, read_pattern(pattern)?)));
        let (offset, pieces) = match read {
            Ok(read) => read,
            Err(Refusal::Unsupported) => return Ok(Line::Unsupported),
            Err(Refusal::Wrong(what)) => return Err(what),
        };
        let anchor = pieces.first().and_then(|piece| anchor(&piece.units));
        let (Some((anchor_at, anchor)), 0) = (anchor, target) else { return Ok(Line::Unsupported) };
        self.anchors.push(anchor);
        self.patterns.push(Pattern { name: (*name).to_owned(), offset, anchor_at, pieces });
        Ok(Line::Taken)
    }

    pub(crate) fn build(self) -> Result<BodySignatures, String> {
        if self.patterns.is_empty() {
            return Ok(BodySignatures::default());
        }
        let anchors = AhoCorasick::new(&self.anchors).map_err(|error| format!("too many signatures: {error}"))?;
        Ok(BodySignatures { patterns: self.patterns, anchors: Some(anchors) })
    }
}

impl BodySignatures {
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Name of the first pattern, in the order of the files, that occurs.
    pub(crate) fn find(&self, content: &[u8]) -> Option<&str> {
        let mut starts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for hit in self.anchors.as_ref()?.find_overlapping_iter(content) {
            let index = hit.pattern().as_usize();
            let Some(pattern) = self.patterns.get(index) else { continue };
            let Some(start) = hit.start().checked_sub(pattern.anchor_at) else { continue };
            if pattern.offset.allows(start, content.len()) {
                starts.entry(index).or_default().insert(start);
            }
        }
        let found = starts.into_iter().find_map(|(index, starts)| {
            let pattern = self.patterns.get(index)?;
            occurs(&pattern.pieces, starts, content).then_some(pattern)
        });
        found.map(|pattern| pattern.name.as_str())
    }
}

impl Offset {
    fn allows(&self, start: usize, length: usize) -> bool {
        let (first, shift) = match *self {
            Self::Anywhere => return true,
            Self::Start(first, shift) => (first, shift),
            Self::End(before, shift) => match length.checked_sub(before) {
                Some(first) => (first, shift),
                None => return false,
            },
        };
        start.checked_sub(first).is_some_and(|after| after <= shift)
    }
}

/// Whether the pieces follow each other from one of `starts`.
fn occurs(pieces: &[Piece], starts: BTreeSet<usize>, content: &[u8]) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return false };
    let mut ends: BTreeSet<usize> =
        starts.into_iter().flat_map(|start| ends_of(&first.units, start, content)).collect();
    for piece in rest {
        ends = follow(piece, &ends, content);
        if ends.is_empty() {
            return false;
        }
    }
    !ends.is_empty()
}

/// Where a piece may end that begins after one of `before`, its gap in between.
fn follow(piece: &Piece, before: &BTreeSet<usize>, content: &[u8]) -> BTreeSet<usize> {
    let mut ends = BTreeSet::new();
    // Gaps overlap: no place is tried twice.
    let mut tried_up_to = 0;
    for end in before {
        let first = end.saturating_add(piece.least).max(tried_up_to);
        let last = piece.most.map_or(content.len(), |most| end.saturating_add(most).min(content.len()));
        for start in first..=last {
            ends.extend(ends_of(&piece.units, start, content));
        }
        tried_up_to = tried_up_to.max(last.saturating_add(1));
    }
    ends
}

/// Where the units may end that begin at `start`; several only when alternatives differ in length.
fn ends_of(units: &[Unit], start: usize, content: &[u8]) -> Vec<usize> {
    let mut ends = vec![start];
    for unit in units {
        let mut next = Vec::new();
        for at in ends {
            let rest = content.get(at..).unwrap_or_default();
            match unit {
                Unit::Byte { value, mask } => {
                    if rest.first().is_some_and(|byte| byte & mask == *value) {
                        next.push(at.saturating_add(1));
                    }
                }
                Unit::Either(choices) => {
                    next.extend(
                        choices
                            .iter()
                            .filter(|choice| rest.starts_with(choice))
                            .map(|choice| at.saturating_add(choice.len())),
                    );
                }
            }
        }
        if next.is_empty() {
            return next;
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    ends
}

/// The longest run of plain bytes before the first alternative, and where it begins.
fn anchor(units: &[Unit]) -> Option<(usize, Vec<u8>)> {
    let mut best: Option<(usize, Vec<u8>)> = None;
    let mut run: Vec<u8> = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        match unit {
            Unit::Byte { value, mask: 0xff } => run.push(*value),
            Unit::Byte { .. } => run.clear(),
            Unit::Either(_) => break,
        }
        if run.len() >= SHORTEST_ANCHOR && best.as_ref().is_none_or(|(_, best)| run.len() > best.len()) {
            best = Some((at.saturating_add(1).saturating_sub(run.len()), run.clone()));
        }
    }
    best
}

fn read_offset(text: &str) -> Result<Offset, Refusal> {
    if text == "*" {
        return Ok(Offset::Anywhere);
    }
    let (base, shift) = text.split_once(',').unwrap_or((text, "0"));
    let shift = shift.parse().map_err(|_| Refusal::Wrong(format!("its offset is wrong: {text:?}")))?;
    if let Some(before) = base.strip_prefix("EOF-") {
        let before = before.parse().map_err(|_| Refusal::Wrong(format!("its offset is wrong: {text:?}")))?;
        return Ok(Offset::End(before, shift));
    }
    match base.parse() {
        Ok(first) => Ok(Offset::Start(first, shift)),
        // Relative to an entry point, a section, version information, or a macro.
        Err(_) if ["EP", "S", "VI", "$"].iter().any(|kind| base.starts_with(kind)) => Err(Refusal::Unsupported),
        Err(_) => Err(Refusal::Wrong(format!("its offset is wrong: {text:?}"))),
    }
}

fn read_pattern(text: &str) -> Result<Vec<Piece>, Refusal> {
    let mut pieces = vec![Piece { least: 0, most: Some(0), units: Vec::new() }];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let unit = match first {
            '*' => {
                rest = rest.strip_prefix('*').unwrap_or_default();
                Err((0, None))
            }
            '{' => Err(read_gap(take_until(&mut rest, '{', '}')?)?),
            '[' => Err(read_gap(take_until(&mut rest, '[', ']')?)?),
            '(' => Ok(read_alternatives(take_until(&mut rest, '(', ')')?)?),
            '!' => return Err(Refusal::Unsupported),
            _ => Ok(read_byte(&mut rest)?),
        };
        match (unit, pieces.last_mut()) {
            (Ok(unit), Some(piece)) => piece.units.push(unit),
            (Err(_), Some(piece)) if piece.units.is_empty() => {
                return Err(Refusal::Wrong("its pattern has a gap without bytes before it".to_owned()));
            }
            (Err((least, most)), _) => pieces.push(Piece { least, most, units: Vec::new() }),
            (Ok(_), None) => {}
        }
    }
    if pieces.last().is_none_or(|piece| piece.units.is_empty()) {
        return Err(Refusal::Wrong("its pattern is empty or ends with a gap".to_owned()));
    }
    Ok(pieces)
}

/// What is between two brackets; `rest` goes on behind them.
fn take_until<'t>(rest: &mut &'t str, open: char, close: char) -> Result<&'t str, Refusal> {
    let inside = rest.strip_prefix(open).and_then(|rest| rest.split_once(close));
    let (inside, behind) =
        inside.ok_or_else(|| Refusal::Wrong(format!("its pattern has a {open:?} without {close:?}")))?;
    *rest = behind;
    Ok(inside)
}

fn read_gap(text: &str) -> Result<(usize, Option<usize>), Refusal> {
    let wrong = || Refusal::Wrong(format!("its pattern has a wrong gap: {text:?}"));
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
    let (least, most) = match text.split_once('-') {
        None => (number(text)?, Some(number(text)?)),
        Some(("", most)) => (0, Some(number(most)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    if most.is_some_and(|most| most < least) { Err(wrong()) } else { Ok((least, most)) }
}

fn read_alternatives(text: &str) -> Result<Unit, Refusal> {
    // (B), (L), (W): word and line borders.
    if matches!(text, "B" | "L" | "W") || text.contains(['?', '*', '{', '(']) {
        return Err(Refusal::Unsupported);
    }
    let mut choices = Vec::new();
    for choice in text.split('|') {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(choice.as_bytes());
        match bytes {
            Ok(bytes) if !bytes.is_empty() => choices.push(bytes),
            _ => return Err(Refusal::Wrong(format!("its pattern has a wrong alternative: {choice:?}"))),
        }
    }
    Ok(Unit::Either(choices))
}

fn read_byte(rest: &mut &str) -> Result<Unit, Refusal> {
    let wrong = || Refusal::Wrong("its pattern has other than hexadecimal digits in pairs".to_owned());
    let (pair, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
    *rest = behind;
    let mut value = 0;
    let mut mask = 0;
    for digit in pair.chars() {
        let (digit, known) = match digit {
            '?' => (0, 0),
            digit => (digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong)?, 0xf),
        };
        value = value << 4 | digit;
        mask = mask << 4 | known;
    }
    Ok(Unit::Byte { value, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the content has the pattern.
    fn finds(offset: &str, pattern: &str, content: &[u8]) -> bool {
        let mut builder = Builder::default();
        let line = builder.add_line(&format!("Test:0:{offset}:{pattern}")).unwrap();
        assert!(matches!(line, Line::Taken), "{pattern} is unsupported");
        builder.build().unwrap().find(content) == Some("Test")
    }

    #[test]
    fn plain_bytes_and_wildcards() {
        assert!(finds("*", "616263", b"xxabcxx"));
        assert!(!finds("*", "616263", b"xxabxcxx"));
        assert!(finds("*", "6162??64", b"xxabcd"));
        assert!(finds("*", "61626?64", b"xxabcd"));
        assert!(finds("*", "?16263", b"xabc"));
        assert!(!finds("*", "61627?64", b"xxabcd"));
        assert!(!finds("*", "616263??", b"xxabc"));
    }

    #[test]
    fn gaps() {
        assert!(finds("*", "6162*6364", b"ab--------cd"));
        assert!(finds("*", "6162{2}6364", b"ab--cd"));
        assert!(!finds("*", "6162{2}6364", b"ab-cd"));
        assert!(finds("*", "6162{-2}6364", b"abcd"));
        assert!(finds("*", "6162{1-3}6364", b"ab---cd"));
        assert!(!finds("*", "6162{1-3}6364", b"ab----cd"));
        assert!(finds("*", "6162{3-}6364", b"ab----cd"));
        assert!(finds("*", "6162[1-3]63", b"ab-c"));
        // Neither the first nor the last cd will do, the one in the middle does.
        assert!(finds("*", "6162*6364{1}65", b"abcd--cd-e---cd"));
    }

    #[test]
    fn alternatives() {
        assert!(finds("*", "6162(63|6465)66", b"abcf"));
        assert!(finds("*", "6162(63|6465)66", b"abdef"));
        assert!(!finds("*", "6162(63|6465)66", b"abf"));
        assert!(finds("*", "6162(63|6363)6364", b"abcccd"));
    }

    #[test]
    fn offsets() {
        assert!(finds("2", "6162", b"xxab"));
        assert!(!finds("1", "6162", b"xxab"));
        assert!(finds("1,1", "6162", b"xxab"));
        assert!(finds("EOF-3", "6162", b"xxabx"));
        assert!(!finds("EOF-30", "6162", b"xxabx"));
    }

    #[test]
    fn what_is_wrong_and_what_is_only_unsupported() {
        let mut builder = Builder::default();
        for line in
            ["A:1:*:6162", "A:0:EP+0:6162", "A:0:*:61??62", "A:0:*:6162!(61|62)", "A:0:*:6162(B)", "A:0:*:(61|62)6162"]
        {
            assert!(matches!(builder.add_line(line), Ok(Line::Unsupported)), "{line}");
        }
        for line in [
            "A:0:*",
            "A:x:*:6162",
            "A:0:here:6162",
            "A:0:*:616",
            "A:0:*:61zz",
            "A:0:*:6162{",
            "A:0:*:6162{5-2}61",
            "A:0:*:*6162",
            "A:0:*:6162*",
            "A:0:*:",
            ":0:*:6162",
        ] {
            assert!(builder.add_line(line).is_err(), "{line}");
        }
    }
}
