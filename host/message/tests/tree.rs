//! The MIME tree of our own messages, part by part.

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

mod invariants;

use invariants::{message, own_corpus};
use std::fmt::Write;
use wasmilter_message::message::ParsedMessage;

/// One line per part: id, parent, kind, role, what there is of the rest.
fn outline(message: &ParsedMessage) -> String {
    let mut out = String::new();
    for part in message.tree().parts() {
        let _ = write!(out, "{} {} {:?} {:?} {}", part.id, part.parent, part.kind, part.role, part.media_type);
        for (name, value) in [
            ("charset", &part.charset),
            ("disposition", &part.disposition),
            ("name", &part.file_name),
            ("id", &part.content_id),
        ] {
            if !value.is_empty() {
                let _ = write!(out, " {name}={value}");
            }
        }
        if part.encoding != "7bit" {
            let _ = write!(out, " {}", part.encoding);
        }
        for defect in &part.defects {
            let _ = write!(out, " !{}", defect.name());
        }
        out.push('\n');
    }
    out
}

#[test]
fn every_message_has_the_tree_that_people_see() {
    let expected = include_str!("outlines.txt");
    let mut found = String::new();
    for (name, file) in own_corpus() {
        let outline = outline(&message(&file));
        let shown = if outline.lines().count() > 20 {
            let lines: Vec<&str> = outline.lines().collect();
            format!("{}\n… {} parts …\n{}\n", lines[..2].join("\n"), lines.len(), lines[lines.len() - 2..].join("\n"))
        } else {
            outline
        };
        let _ = write!(found, "# {name}\n{shown}\n");
    }
    if found != expected {
        let at = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
        panic!("differs from outlines.txt at line {:?}; found:\n{found}", at.map(|at| at + 1));
    }
}

fn named(name: &str) -> ParsedMessage {
    let (_, file) = own_corpus().into_iter().find(|(found, _)| found == name).unwrap();
    message(&file)
}

#[test]
fn content_is_decoded_from_every_charset_and_encoding() {
    for (name, part, expected) in [
        ("plain", 0, "Hello Bob,\r\n\r\nthis is"),
        ("nested", 3, "Gr\u{fc}\u{df}e"),
        ("nested", 4, "<html><body style=\"color: red\">Gr\u{fc}\u{df}e <img src=\"cid:logo@x\"></body></html>"),
        ("iso-2022-jp", 0, "\u{4ef6}\u{540d}"),
        ("gb18030", 0, "\u{4f60}\u{597d}"),
        ("koi8-r", 0, "<html><body><p>\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}"),
        ("windows-1252", 0, "\u{201c}Quotes\u{201d} and a long line that is folded by a soft line break because it is"),
        ("utf-8-raw", 0, "Rohe Umlaute: \u{e4}\u{f6}\u{fc}"),
        ("base64-text", 0, "Zeile mit Umlaut \u{e4}\r\n"),
        ("no-headers", 0, "Only a body.\r\n"),
        ("no-body", 0, ""),
        ("rfc822", 4, "Inner text"),
        ("digest", 2, "first"),
    ] {
        let text = named(name).part_text(part, 1000);
        assert!(text.starts_with(expected), "{name}: {text:?}");
    }
    assert_eq!(named("mixed").decoded(2), (0..=255).cycle().take(768).collect::<Vec<u8>>());
}

#[test]
fn what_is_not_encoded_is_not_copied() {
    let message = named("plain");
    assert_eq!(message.decoded(0).as_ptr(), message.body.as_ptr());
}

#[test]
fn wrong_encodings_are_said_once_they_are_decoded() {
    let message = message(b"Content-Transfer-Encoding: base64\r\n\r\nSGVs*bG8=\r\n");
    assert_eq!(message.tree().defects(0), []);
    assert_eq!(&message.decoded(0)[..], b"Hello");
    assert_eq!(message.tree().defects(0).iter().map(|d| d.name()).collect::<Vec<_>>(), ["invalid-base64"]);
}

#[test]
fn fields_are_read_as_people_do() {
    let folded = named("folded-fields");
    assert_eq!(folded.header_text("subject"), ["Encoded word after a fold"]);
    assert_eq!(folded.header_text("x-folded"), ["one two\tthree"]);
    assert_eq!(folded.header_text("X-Empty"), [""]);
    assert_eq!(
        folded.header_addresses("To"),
        [("Ann".into(), "ann@example.org".into()), ("Doe, Bob".into(), "bob@example.net".into())]
    );
    assert_eq!(named("iso-2022-jp").header_text("Subject"), ["\u{4f1a}\u{8b70}\u{306e}\u{4ef6}"]);
    assert_eq!(named("utf-8-raw").header_text("Subject"), ["Gr\u{fc}\u{df}e"]);
    assert_eq!(named("duplicate-fields").header_text("SUBJECT"), ["First", "Second", "Third"]);
    let fields = named("mixed").part_fields(2);
    assert_eq!(fields.len(), 3);
    assert_eq!(&fields[2].value[..], b" attachment; filename*0*=utf-8''%C3%9Cber;\r\n filename*1=\"sicht.pdf\"");
}

#[test]
fn entities_are_what_is_signed() {
    let signed = named("signed");
    assert_eq!(signed.entity_read(1, 0, 1000), b"Content-Type: text/plain; charset=utf-8\r\n\r\nSigned text");
    assert_eq!(signed.entity_read(1, 14, 10), b"text/plain");
    let root = signed.entity_read(0, 0, 100_000);
    assert!(root.starts_with(b"MIME-Version: 1.0\r\nContent-Type: multipart/signed;"));
    assert!(root.ends_with(&signed.body) && root.len() as u64 == signed.entity_len(0));
}

#[test]
fn parts_are_bounded() {
    use wasmilter_message::mime::{Defect, MAX_PARTS};
    let mut file = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for _ in 0..MAX_PARTS + 100 {
        file.extend_from_slice(b"--b\r\n\r\n\r\n");
    }
    let message = message(&file);
    assert_eq!(message.tree().parts().len(), MAX_PARTS);
    assert!(message.tree().parts()[0].defects.contains(&Defect::TooManyParts));
    assert!(!message.tree().parts()[1].defects.contains(&Defect::TooManyParts));
}

#[test]
fn hostile_messages_take_no_longer_than_others() {
    use std::time::{Duration, Instant};
    let size = 4 << 20;
    let nested: String = (0..60)
        .map(|n| {
            format!("Content-Type: multipart/mixed; boundary={}{n}\r\n\r\n--{}{n}\r\n", "x".repeat(60), "x".repeat(60))
        })
        .collect();
    for (name, file) in [
        ("lines of hyphens", format!("{nested}{}", "--\r\n".repeat(size / 4))),
        ("almost delimiters", format!("{nested}{}", format!("--{}\r\n", "x".repeat(61)).repeat(size / 65))),
        ("one line", format!("Subject: {}", "x".repeat(size))),
        ("folds", format!("Subject: {}", "x\r\n ".repeat(size / 4))),
        ("words", format!("Subject: {}", "=?utf-8?q?x".repeat(size / 11))),
        ("commas", format!("To: {}", "a@b,".repeat(size / 4))),
        ("parameters", format!("Content-Type: text/plain{}", ";a*1*=b".repeat(size / 7))),
        ("comments", format!("To: {}", "(".repeat(size))),
        ("fields", "A:\r\n".repeat(size / 4)),
        ("escapes", format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{}", "= ".repeat(size / 2))),
        ("blanks", format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{}", " ".repeat(size))),
        ("tags", format!("Content-Type: text/html\r\n\r\n{}", "<a <!--\"".repeat(size / 8))),
    ] {
        let started = Instant::now();
        let message = message(file.as_bytes());
        for part in message.tree().parts() {
            let _ = message.part_text(part.id, usize::MAX);
        }
        let _ = (message.header_text("Subject"), message.header_addresses("To"));
        let took = started.elapsed();
        assert!(took < Duration::from_secs(3), "{name} took {took:?}");
    }
}
