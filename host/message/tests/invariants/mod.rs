//! What holds for every message and every decision, however broken. Shared by the tests here and by the fuzz targets
//! (`../fuzz`), which call `fuzz_parse`, `fuzz_eml` and `fuzz_edits` with whatever they think of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::let_underscore_must_use,
    reason = "a test fails by panicking, its helpers too"
)]
#![allow(dead_code, reason = "every user needs only some of it")]

use bytes::Bytes;
use std::{path::PathBuf, sync::Arc};
use wasmilter_message::{
    apply::{ApplyError, EditGrants, apply},
    body::InMemory,
    decision::{Annotation, Edit, NewAddress, NewHeader, NewPart},
    eml,
    envelope::{Envelope, Mailbox},
    headers::Field,
    message::{ParsedMessage, ReceivedMessage, Transaction},
    mime::{Defect, Kind, MAX_DEPTH, MAX_PARTS, Part, Role},
};

/// Everything granted.
pub(crate) const ALL: EditGrants =
    EditGrants { headers: true, text: true, attachments: true, raw: true, recipients: true, set_client: true };

/// The message in a file, to two recipients.
pub(crate) fn message(bytes: &[u8]) -> ParsedMessage {
    let (headers, body) = eml::read(bytes);
    ParsedMessage::new(ReceivedMessage { transaction: transaction(), headers, body })
}

fn transaction() -> Transaction {
    let envelope = Envelope {
        sender: Mailbox::new("<from@example.org>"),
        recipients: vec![Mailbox::new("<one@example.org>"), Mailbox::new("<two@example.org>")],
        queue_id: None,
    };
    Transaction { id: Arc::from("test"), envelope, ..Transaction::default() }
}

/// Our own small messages, by name.
pub(crate) fn own_corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(|folder| {
        let corpus = folder.join("tests/corpus");
        corpus.is_dir().then_some(corpus)
    });
    let folder = folder.expect("tests/corpus in the repository");
    let mut messages: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    messages.sort();
    assert!(messages.len() >= 25, "only {} messages", messages.len());
    messages
}

/// The message as a file.
pub(crate) fn written(message: &ParsedMessage) -> Vec<u8> {
    let mut out = Vec::new();
    message.write_to(&mut out).unwrap();
    out
}

/// Reading a file and writing it gives a file that reads the same.
pub(crate) fn fuzz_eml(bytes: &[u8]) {
    let (fields, body) = eml::read(bytes);
    let first =
        ParsedMessage::new(ReceivedMessage { headers: fields.clone(), body: body.clone(), ..Default::default() });
    let file = written(&first);
    let (again, body_again) = eml::read(&file);
    assert_eq!((again, body_again), (fields, body));
}

/// A tree is a tree, its ranges lie in each other, and every way to read it holds what it says.
pub(crate) fn fuzz_parse(bytes: &[u8]) {
    let message = message(bytes);
    check_tree(&message);
    check_reading(&message);
}

pub(crate) fn check_tree(message: &ParsedMessage) {
    let parts = message.tree().parts();
    assert!(!parts.is_empty() && parts.len() <= MAX_PARTS);
    for (place, part) in parts.iter().enumerate() {
        assert_eq!(part.id as usize, place);
        assert!(part.header.start <= part.header.end && part.header.end <= part.content.start, "{part:?}");
        assert!(part.content.start <= part.content.end && part.content.end == part.entity.end, "{part:?}");
        assert!(part.entity.start == part.header.start && part.entity.end <= message.body.len(), "{part:?}");
        let children: Vec<&Part> = message.tree().children(part.id).collect();
        match part.kind {
            Kind::Leaf => assert!(children.is_empty()),
            Kind::Multipart => assert!(!children.is_empty() || part.defects.contains(&Defect::TooManyParts)),
            Kind::Message => assert_eq!(children.len(), 1),
        }
        for pair in children.windows(2) {
            assert!(pair[0].entity.end <= pair[1].entity.start, "{pair:?}");
        }
        if place > 0 {
            assert!(part.parent < part.id);
            let parent = &parts[part.parent as usize];
            assert!(parent.content.start <= part.entity.start && part.entity.end <= parent.content.end, "{part:?}");
        }
        assert!(depth(parts, part) <= MAX_DEPTH);
        assert!(part.role != Role::Container || part.kind == Kind::Multipart);
    }
}

fn depth(parts: &[Part], part: &Part) -> usize {
    let (mut depth, mut id) = (0, part.id);
    while id != 0 {
        depth += 1;
        id = parts[id as usize].parent;
    }
    depth
}

pub(crate) fn check_reading(message: &ParsedMessage) {
    let file = written(message);
    assert_eq!(message.raw_size(), file.len() as u64);
    for (offset, len) in [(0, file.len()), (1, 7), (file.len() / 2, 100), (file.len(), 1), (file.len() + 5, 5)] {
        let end = (offset + len).min(file.len());
        assert_eq!(message.raw_read(offset as u64, len), file.get(offset..end).unwrap_or_default());
    }
    for part in message.tree().parts() {
        let entity = message.entity_read(part.id, 0, usize::MAX);
        assert_eq!(message.entity_len(part.id), entity.len() as u64);
        assert!(part.id == 0 || entity == message.body[part.entity.clone()]);
        let decoded = message.decoded(part.id);
        assert!(decoded.len() <= part.encoded_size());
        assert!(part.kind == Kind::Leaf || decoded.is_empty());
        for limit in [0, 1, 10, 4096] {
            assert!(message.part_text(part.id, limit).len() <= limit);
        }
        assert!(message.tree().defects(part.id).iter().all(|defect| !defect.name().is_empty()));
        let _ = message.part_fields(part.id);
    }
    for name in ["Subject", "From", "To", "Received"] {
        assert_eq!(message.header_text(name).len(), message.headers.named(name).count());
        let _ = message.header_addresses(name);
    }
}

/// Bytes as choices.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit.max(1)
    }

    fn text(&mut self) -> String {
        let texts = [
            "",
            "Hello",
            "Gr\u{fc}\u{df}e",
            "\u{4f60}\u{597d} \u{1f600}\nnext line\n",
            "--b\n--b--\n",
            " a\r\nb \n>c\nFrom d\n-- \n",
            "=?utf-8?q?x?=",
            "</body><!--",
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        ];
        let text = texts[self.below(texts.len())].to_owned();
        if self.byte() == 7 { text.repeat(300) } else { text }
    }

    fn name(&mut self) -> String {
        let names = ["Subject", "X-New", "Received", "From", "content-type", "MIME-Version", "X Y", "", "X-\u{e4}"];
        names[self.below(names.len())].to_owned()
    }

    fn part(&mut self) -> NewPart {
        let types = [
            "text/plain",
            "text/html; charset=iso-8859-1",
            "application/pdf",
            "message/rfc822",
            "multipart/mixed",
            "nonsense",
        ];
        NewPart {
            media_type: types[self.below(types.len())].to_owned(),
            file_name: ["", "a.txt", "\u{e4}\".pdf"][self.below(3)].to_owned(),
            disposition: ["", "inline", "attachment"][self.below(3)].to_owned(),
            content_id: ["", "a@b"][self.below(2)].to_owned(),
            content: self.text().into_bytes().into(),
        }
    }

    fn annotation(&mut self) -> Annotation {
        Annotation { plain: self.text(), html: self.text() }
    }

    /// Any edit, good or bad.
    pub(crate) fn edit(&mut self, parts: usize) -> Edit {
        let part = |choices: &mut Self| u32::try_from(choices.below(parts + 1)).unwrap();
        match self.below(14) {
            0 => Edit::AddHeader(NewHeader { name: self.name(), value: self.text() }),
            1 => Edit::InsertHeader(NewHeader { name: self.name(), value: self.text() }),
            2 => Edit::ReplaceHeader { name: self.name(), occurrence: u32::from(self.byte() % 3), value: self.text() },
            3 => Edit::RemoveHeader { name: self.name(), occurrence: u32::from(self.byte() % 3) },
            4 => Edit::SetSubject(self.text()),
            5 => Edit::ReplacePart { part: part(self), with: self.part() },
            6 => Edit::RemovePart(part(self)),
            7 => Edit::AddPart(self.part()),
            8 | 9 => Edit::AppendText(self.annotation()),
            10 => Edit::PrependText(self.annotation()),
            11 => Edit::SetSender(NewAddress { address: self.text(), arguments: vec![] }),
            12 => Edit::AddRecipient(NewAddress { address: "three@example.org".into(), arguments: vec![] }),
            _ => Edit::RemoveRecipient("one@example.org".into()),
        }
    }
}

/// Applies edits chosen by the first bytes to the message in the rest.
pub(crate) fn fuzz_edits(bytes: &[u8]) {
    let (choices, file) = bytes.split_at(bytes.len().min(48));
    random_edits(&message(file), choices);
}

/// Applies edits chosen by `choices`: refused ones change nothing, others change only what they name.
pub(crate) fn random_edits(message: &ParsedMessage, choices: &[u8]) -> bool {
    let mut choices = Choices(choices);
    let parts = message.tree().parts().len();
    let count = 1 + choices.below(4);
    let edits: Vec<Edit> = (0..count).map(|_| choices.edit(parts)).collect();
    match apply(message, &edits, ALL, &InMemory) {
        Err(ApplyError::Refused { number, reason, .. }) => {
            assert!(number >= 1 && number <= edits.len() && !reason.is_empty());
            false
        }
        Err(ApplyError::Store(error)) => panic!("{error}"),
        Ok(edited) => {
            only_named_changes(message, &edited, &edits);
            check_tree(&edited);
            check_reading(&edited);
            true
        }
    }
}

/// Whether everything that no edit names is as it was.
pub(crate) fn only_named_changes(message: &ParsedMessage, edited: &ParsedMessage, edits: &[Edit]) {
    other_fields_stay(message, edited, edits);
    let content_edits = edits.iter().any(|edit| {
        matches!(
            edit,
            Edit::ReplacePart { .. }
                | Edit::RemovePart(_)
                | Edit::AddPart(_)
                | Edit::AppendText(_)
                | Edit::PrependText(_)
                | Edit::ReplaceContent { .. }
        )
    });
    if !content_edits {
        assert!(edited.same_body(message));
        return;
    }
    // Their leaves may be cut off by the bounds of the tree.
    let bounded = |part: &Part| part.defects.iter().any(|d| matches!(d, Defect::TooDeep | Defect::TooManyParts));
    if message.tree().parts().iter().chain(edited.tree().parts()).any(bounded) {
        return;
    }
    let texts = Texts::of(edits);
    let mut after = leaves(edited);
    for part in untouched(message, edits) {
        let added = texts.for_part(part);
        let annotated = !added.is_empty();
        let content = &message.body[part.content.clone()];
        let same = |other: &&Part| {
            other.media_type == part.media_type
                && other.file_name == part.file_name
                && if annotated {
                    let text = edited.part_text(other.id, usize::MAX);
                    (left_alone(part) || added.iter().all(|added| contains(&text, added)))
                        && contains(&text, &message.part_text(part.id, usize::MAX))
                } else {
                    edited.body[other.content.clone()] == *content && other.encoding == part.encoding
                }
        };
        assert!(
            after.by_ref().any(|other| same(&other)),
            "part {} is lost\nedits: {edits:?}\nbefore:\n{}\nafter:\n{}",
            part.id,
            String::from_utf8_lossy(&written(message)),
            String::from_utf8_lossy(&written(edited))
        );
    }
}

/// All texts that edits put into the parts of a kind.
struct Texts<'a> {
    plain: Vec<&'a str>,
    html: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn of(edits: &'a [Edit]) -> Self {
        let mut texts = Self { plain: Vec::new(), html: Vec::new() };
        for edit in edits {
            if let Edit::AppendText(text) | Edit::PrependText(text) = edit {
                texts.plain.extend(Some(text.plain.as_str()).filter(|text| !text.is_empty()));
                texts.html.extend(Some(text.html.as_str()).filter(|text| !text.is_empty()));
            }
        }
        texts
    }

    fn for_part(&self, part: &Part) -> &[&'a str] {
        match part.media_type.as_str() {
            "text/plain" if part.role == Role::Body => &self.plain,
            "text/html" if part.role == Role::Body => &self.html,
            _ => &[],
        }
    }
}

/// Whether nobody knows how to write into a part.
fn left_alone(part: &Part) -> bool {
    part.defects.contains(&Defect::UnknownEncoding)
        || part.charset.starts_with("iso-2022")
        || part.charset.starts_with("hz")
}

/// Whether `after` has all lines of `before` in order, give or take white space: text may be put between them.
fn contains(after: &str, before: &str) -> bool {
    // A character that could not be read is not what is tested here.
    if before.contains(['\u{fffd}', '\u{1b}', '\0']) {
        return true;
    }
    let mut rest = after;
    before.split_whitespace().flat_map(|word| word.split(['<', '>'])).all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

fn leaves(message: &ParsedMessage) -> impl Iterator<Item = &Part> {
    message.tree().parts().iter().filter(|part| part.kind == Kind::Leaf)
}

/// Leaves that no edit replaces or removes.
fn untouched<'a>(message: &'a ParsedMessage, edits: &'a [Edit]) -> impl Iterator<Item = &'a Part> {
    let named: Vec<u32> = edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::ReplacePart { part, .. } | Edit::RemovePart(part) => Some(*part),
            _ => None,
        })
        .collect();
    leaves(message).filter(move |part| {
        let mut id = part.id;
        loop {
            if named.contains(&id) {
                return false;
            }
            if id == 0 {
                return true;
            }
            id = message.tree().parts()[id as usize].parent;
        }
    })
}

fn other_fields_stay(message: &ParsedMessage, edited: &ParsedMessage, edits: &[Edit]) {
    let mut names = vec!["mime-version".to_owned()];
    for edit in edits {
        match edit {
            Edit::AddHeader(new) | Edit::InsertHeader(new) => names.push(new.name.to_lowercase()),
            Edit::ReplaceHeader { name, .. } | Edit::RemoveHeader { name, .. } => names.push(name.to_lowercase()),
            Edit::SetSubject(_) => names.push("subject".to_owned()),
            _ => {}
        }
    }
    let other = |field: &&Field| {
        let name = String::from_utf8_lossy(&field.name).to_lowercase();
        !name.starts_with("content-") && !names.contains(&name)
    };
    let before: Vec<_> = message.headers.fields().filter(other).collect();
    let after: Vec<_> = edited.headers.fields().filter(other).collect();
    assert_eq!(before, after);
}

/// A generator of bytes that gives the same ones every time (splitmix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// A message with a few things broken.
pub(crate) fn mutated(file: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut file = file.to_vec();
    let splinters: [&[u8]; 14] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\r\n--b\r\n",
        b"\r\n--b--\r\n",
        b"\0",
        b"\xff",
        b"=",
        b";",
        b"\"",
        b"\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"--",
    ];
    for _ in 0..=choices.below(6) {
        let at = choices.below(file.len() + 1);
        let until = (at + choices.below(64)).min(file.len());
        match choices.below(5) {
            0 => drop(file.drain(at..until)),
            1 => file.truncate(at.max(40).min(file.len())),
            2 => {
                let copy = file[at..until].to_vec();
                let to = choices.below(file.len() + 1);
                file.splice(to..to, copy);
            }
            3 if at < file.len() => file[at] = choices.byte(),
            _ => {
                let splinter = splinters[choices.below(splinters.len())];
                file.splice(at..at, splinter.iter().copied());
            }
        }
    }
    file
}

/// The bytes of a part that a test looks for.
pub(crate) fn content(message: &ParsedMessage, id: u32) -> Bytes {
    message.body.slice(message.tree().parts()[id as usize].content.clone())
}
