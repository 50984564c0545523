//! Edits, one promise of `wit/policy.wit` after the other.

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

use invariants::{ALL, message, own_corpus, written};
use wasmilter_message::{
    apply::{ApplyError, EditGrants, MAX_EDITS, apply},
    body::InMemory,
    decision::{Annotation, Edit, NewAddress, NewClient, NewHeader, NewPart},
    headers::Entry,
    message::ParsedMessage,
    mime::Role,
};

fn named(name: &str) -> ParsedMessage {
    let (_, file) = own_corpus().into_iter().find(|(found, _)| found == name).unwrap();
    message(&file)
}

fn edited(message: &ParsedMessage, edits: &[Edit]) -> ParsedMessage {
    apply(message, edits, ALL, &InMemory).unwrap()
}

fn refused(message: &ParsedMessage, edits: &[Edit]) -> String {
    match apply(message, edits, ALL, &InMemory) {
        Err(ApplyError::Refused { number, reason, .. }) => format!("{number}: {reason}"),
        other => panic!("not refused: {other:?}"),
    }
}

fn header(name: &str, value: &str) -> NewHeader {
    NewHeader { name: name.into(), value: value.into() }
}

fn replace(name: &str, occurrence: u32, value: &str) -> Edit {
    Edit::ReplaceHeader { name: name.into(), occurrence, value: value.into() }
}

fn remove(name: &str, occurrence: u32) -> Edit {
    Edit::RemoveHeader { name: name.into(), occurrence }
}

fn new_part(media_type: &str, file_name: &str, content: &str) -> NewPart {
    NewPart {
        media_type: media_type.into(),
        file_name: file_name.into(),
        content: content.as_bytes().to_vec().into(),
        ..NewPart::default()
    }
}

fn append(plain: &str, html: &str) -> Edit {
    Edit::AppendText(Annotation { plain: plain.into(), html: html.into() })
}

fn prepend(plain: &str, html: &str) -> Edit {
    Edit::PrependText(Annotation { plain: plain.into(), html: html.into() })
}

fn address(address: &str) -> NewAddress {
    NewAddress { address: address.into(), arguments: vec![] }
}

fn text(file: &[u8]) -> String {
    String::from_utf8_lossy(file).replace("\r\n", "\n")
}

fn body(message: &ParsedMessage) -> String {
    text(&message.body)
}

fn from_text(file: &str) -> ParsedMessage {
    message(file.as_bytes())
}

// --- header fields

#[test]
fn fields_go_to_their_place() {
    let message = from_text("A: 1\nB: 2\nA: 3\n\nx\n");
    let after = edited(
        &message,
        &[
            Edit::AddHeader(header("C", "bottom")),
            Edit::InsertHeader(header("D", "top")),
            Edit::InsertHeader(header("E", "second")),
            replace("a", 2, "new\n folded"),
            remove("A", 1),
        ],
    );
    assert_eq!(text(&written(&after)), "D: top\nE: second\nB: 2\nA: new\n folded\nC: bottom\n\nx\n");
    let origin: Vec<_> =
        after.headers.entries().iter().map(|Entry { received, changed, .. }| (*received, *changed)).collect();
    assert_eq!(origin, [(None, false), (None, false), (Some(1), false), (Some(2), true), (None, false)]);
    assert!(after.same_body(&message));
}

#[test]
fn occurrences_count_as_the_stage_saw_the_message() {
    let message = from_text("A: 1\nA: 2\nA: 3\n\n");
    let after = edited(&message, &[remove("A", 1), remove("A", 2), Edit::InsertHeader(header("A", "0"))]);
    assert_eq!(text(&written(&after)), "A: 0\nA: 3\n\n");
    assert_eq!(text(&written(&edited(&message, &[remove("a", 0), remove("none", 0)]))), "\n");
    assert!(refused(&message, &[remove("A", 4)]).starts_with("1: there is no A field number 4"));
    assert!(refused(&message, &[replace("B", 1, "x")]).contains("no B field"));
    assert!(refused(&message, &[replace("A", 0, "x")]).contains("count from 1"));
}

#[test]
fn the_same_value_is_no_change() {
    let message = from_text("A: 1\n\n");
    assert!(!edited(&message, &[replace("A", 1, "1")]).headers.entries()[0].changed);
}

#[test]
fn nothing_is_smuggled_into_a_field() {
    let message = from_text("A: 1\n\n");
    for (name, value) in [
        ("X", "a\nB: c"),
        ("X", "a\r\nB: c"),
        ("X", "a\rb"),
        ("X", "a\r"),
        ("X", "a\0"),
        ("X", "a\n"),
        ("X", "a\n \n b"),
        ("X", "\u{e4}"),
        ("", "x"),
        ("X:", "x"),
        ("X Y", "x"),
        ("X\n", "x"),
        ("X\u{e4}", "x"),
        ("X\0", "x"),
    ] {
        for edit in [Edit::AddHeader(header(name, value)), Edit::InsertHeader(header(name, value))] {
            assert!(!refused(&message, &[edit]).is_empty(), "{name:?}: {value:?}");
        }
    }
    let long = "x".repeat(60_001);
    assert!(refused(&message, &[Edit::AddHeader(header("X", &long))]).contains("60000"));
    edited(&message, &[Edit::AddHeader(header("X", &long[1..]))]);
}

#[test]
fn smtputf8_allows_text_as_it_is() {
    let mut message = from_text("A: 1\n\n");
    message.envelope.sender.arguments.push("SMTPUTF8".into());
    let after = edited(&message, &[Edit::AddHeader(header("X", "\u{e4}"))]);
    assert_eq!(text(&written(&after)), "A: 1\nX: \u{e4}\n\n");
}

#[test]
fn the_subject_keeps_its_charset() {
    let subject = |message: &ParsedMessage, text: &str| {
        let after = edited(message, &[Edit::SetSubject(text.into())]);
        assert_eq!(after.header_text("Subject")[0], text);
        assert_eq!(after.headers.entries().len(), message.headers.entries().len().max(after.headers.entries().len()));
        String::from_utf8(after.headers.named("Subject").next().unwrap().value.to_vec()).unwrap()
    };
    assert!(subject(&named("iso-2022-jp"), "[\u{8ff7}] \u{4f1a}").starts_with(" =?ISO-2022-JP?B?"));
    assert!(subject(&named("koi8-r"), "\u{41f}\u{440}").starts_with(" =?koi8-r?"));
    assert!(subject(&named("koi8-r"), "\u{4f60}").starts_with(" =?utf-8?"));
    assert_eq!(subject(&named("plain"), "[SPAM] Plain"), " [SPAM] Plain");
    assert_eq!(subject(&from_text("A: 1\n\n"), "New"), " New");
    assert!(refused(&named("plain"), &[Edit::SetSubject("a\nB: c".into())]).contains("LF"));
}

// --- envelope and client

#[test]
fn sender_and_recipients() {
    let message = named("plain");
    let after = edited(
        &message,
        &[
            Edit::SetSender(address("")),
            Edit::AddRecipient(address("\"a b\"@example.org")),
            Edit::AddRecipient(address("two@EXAMPLE.org")),
            Edit::RemoveRecipient("one@example.org".into()),
        ],
    );
    assert_eq!(after.envelope.sender.raw, "<>");
    let recipients: Vec<_> = after.envelope.recipients.iter().map(|mailbox| mailbox.raw.as_str()).collect();
    assert_eq!(recipients, ["<two@example.org>", "<\"a b\"@example.org>"]);
    assert!(after.same_body(&message) && after.headers == message.headers);
}

#[test]
fn recipients_do_not_vanish() {
    let message = named("plain");
    let gone = |name: &str| Edit::RemoveRecipient(name.into());
    assert!(refused(&message, &[gone("nobody@example.org")]).contains("no such recipient"));
    assert!(
        refused(&message, &[gone("one@example.org"), gone("two@example.org")]).starts_with("2: the last recipient")
    );
    let moved = [gone("one@example.org"), gone("two@example.org"), Edit::AddRecipient(address("x@y"))];
    assert_eq!(edited(&message, &moved).envelope.recipients.len(), 1);
}

#[test]
fn nothing_is_smuggled_into_an_address() {
    let message = named("plain");
    for bad in [
        "a@b> NOTIFY=NEVER",
        "<a@b",
        "a@b\r\nDATA",
        "a@b\0",
        "a b@c",
        "a@b,c@d",
        "\"a",
        "\"a\\",
        "@x:a@b",
        "a\u{7f}@b",
        "\u{e4}@b",
        "\"<\"@b",
        "\"\\>\"@b",
        "(x)a@b",
        "a\\@b",
    ] {
        assert!(!refused(&message, &[Edit::AddRecipient(address(bad))]).is_empty(), "{bad:?}");
        assert!(!refused(&message, &[Edit::SetSender(address(bad))]).is_empty(), "{bad:?}");
    }
    assert!(refused(&message, &[Edit::AddRecipient(address(""))]).contains("1 to"));
    for bad in ["", "A B", "A\r\n", "\u{e4}"] {
        let new = NewAddress { address: "a@b".into(), arguments: vec![bad.into()] };
        assert!(refused(&message, &[Edit::SetSender(new)]).contains("ESMTP"), "{bad:?}");
    }
    for good in ["a@b", "postmaster", "a+b@[IPv6:::1]", "\"a,b;<\"@b".replace('<', "(").as_str(), "x=y%z!w@b"] {
        edited(&message, &[Edit::AddRecipient(address(good))]);
    }
}

#[test]
fn the_client_is_set_for_later_stages() {
    let client =
        NewClient { address: "192.0.2.1".parse().unwrap(), port: None, hostname: None, helo: Some("h".into()) };
    let message = named("plain");
    let after = edited(&message, &[Edit::SetClient(client)]);
    assert_eq!(after.client.address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!((after.client.helo.as_deref(), after.connected.address), (Some("h"), None));
}

// --- all or nothing

fn without(grant: &str) -> EditGrants {
    let mut grants = ALL;
    match grant {
        "headers" => grants.headers = false,
        "text" => grants.text = false,
        "attachments" => grants.attachments = false,
        "raw" => grants.raw = false,
        "recipients" => grants.recipients = false,
        "set-client" => grants.set_client = false,
        _ => panic!("{grant}"),
    }
    grants
}

#[test]
fn grants_are_needed() {
    let message = named("plain");
    let client = NewClient { address: "192.0.2.1".parse().unwrap(), port: None, hostname: None, helo: None };
    for (edit, grant) in [
        (Edit::AddHeader(header("X", "y")), "headers"),
        (Edit::InsertHeader(header("X", "y")), "headers"),
        (replace("Subject", 1, "x"), "headers"),
        (remove("Subject", 0), "headers"),
        (Edit::SetSubject("x".into()), "headers"),
        (Edit::AddPart(new_part("text/plain", "", "x")), "attachments"),
        (Edit::RemovePart(0), "text"),
        (Edit::ReplacePart { part: 0, with: new_part("text/plain", "", "x") }, "text"),
        (append("x", ""), "text"),
        (Edit::PrependText(Annotation { plain: "x".into(), html: String::new() }), "text"),
        (Edit::ReplaceContent { headers: vec![], body: "".into() }, "raw"),
        (Edit::SetSender(address("a@b")), "recipients"),
        (Edit::AddRecipient(address("a@b")), "recipients"),
        (Edit::RemoveRecipient("one@example.org".into()), "recipients"),
        (Edit::SetClient(client), "set-client"),
    ] {
        // The other side: with this grant alone the same edit is good.
        let only = EditGrants {
            headers: grant == "headers",
            text: grant == "text",
            attachments: grant == "attachments",
            raw: grant == "raw",
            recipients: grant == "recipients",
            set_client: grant == "set-client",
        };
        apply(&message, std::slice::from_ref(&edit), only, &InMemory).unwrap();
        for without in [EditGrants::default(), without(grant)] {
            let result = apply(&message, std::slice::from_ref(&edit), without, &InMemory);
            let Err(ApplyError::Refused { number: 1, reason, .. }) = result else { panic!("{result:?}") };
            assert!(reason.contains(&format!("the grant {grant:?}")), "{reason}");
        }
    }
}

#[test]
fn removing_a_part_needs_the_grants_of_all_that_goes() {
    for (name, id, needed) in [
        // Text and its alternative, in a frame.
        ("alternative", 0, vec!["text"]),
        // Text beside a file.
        ("mixed", 0, vec!["text", "attachments"]),
        // A forwarded message, and what is in it.
        ("rfc822", 2, vec!["attachments"]),
        ("rfc822", 3, vec!["attachments"]),
        ("signed", 0, vec!["attachments"]),
        ("signed", 1, vec!["attachments"]),
    ] {
        let message = named(name);
        let kinds: Vec<_> = message.tree().parts().iter().map(|part| (part.id, part.kind, part.role)).collect();
        for grant in ["text", "attachments"] {
            let result = apply(&message, &[Edit::RemovePart(id)], without(grant), &InMemory);
            assert_eq!(result.is_err(), needed.contains(&grant), "{name} {id} without {grant}: {kinds:?}");
        }
        let frame = EditGrants { raw: true, headers: true, ..EditGrants::default() };
        apply(&message, &[Edit::RemovePart(id)], frame, &InMemory).unwrap_err();
    }
    // Who may change no part does not learn which there are.
    let refused = |id| apply(&named("plain"), &[Edit::RemovePart(id)], EditGrants::default(), &InMemory).unwrap_err();
    assert!(refused(7).to_string().contains("the grant"));
}

#[test]
fn disposition_and_content_id_of_a_new_part_are_checked() {
    let part = |disposition: &str, content_id: &str| {
        Edit::AddPart(NewPart {
            disposition: disposition.into(),
            content_id: content_id.into(),
            ..new_part("image/png", "a.png", "x")
        })
    };
    let after = edited(&named("plain"), &[part("inline", "logo@example.org")]);
    let added = after.tree().parts().last().unwrap();
    assert_eq!((added.disposition.as_str(), added.content_id.as_str()), ("inline", "logo@example.org"));
    for bad in ["INLINE", "form-data", "inline; x=y", "inline\r\nX: y"] {
        assert!(refused(&named("plain"), &[part(bad, "")]).contains("disposition"), "{bad:?}");
    }
    for bad in ["a b", "<a@b>", "a\r\nX: y", "\u{e4}@b", "a\"b", &"x".repeat(901)] {
        assert!(refused(&named("plain"), &[part("", bad)]).contains("content id"), "{bad:?}");
    }
}

#[test]
fn decisions_are_bounded() {
    let value = "x".repeat(50_000);
    let many = |count| vec![Edit::AddHeader(header("X", &value)); count];
    edited(&named("plain"), &many(20));
    assert!(refused(&named("plain"), &many(21)).starts_with("21: more than 1048576"));
    let text = "x\n".repeat(128 << 10);
    edited(&named("plain"), &[append(&text, &text)]);
    assert!(refused(&named("plain"), &[append(&format!("{text}x"), "")]).contains("262144"));
    let parts = "--b\n\nx\n".repeat(1100);
    let crowd = from_text(&format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}"));
    assert!(refused(&crowd, &[append(&text, "")]).contains("bytes of new content"));
}

#[test]
fn what_was_parsed_stays_parsed() {
    let message = named("base64-text");
    let tree: *const _ = message.tree();
    let decoded = message.decoded(0).as_ptr();
    let after = edited(&message, &[Edit::SetSubject("x".into()), Edit::AddHeader(header("X", "y"))]);
    assert!(std::ptr::eq(tree, after.tree()) && std::ptr::eq(decoded, after.decoded(0).as_ptr()));
    let retyped = edited(&message, &[replace("Content-Type", 1, "text/html")]);
    assert_eq!(retyped.tree().parts()[0].media_type, "text/html");
}

#[test]
fn one_bad_edit_refuses_all() {
    let message = named("mixed");
    for bad in [
        Edit::RemovePart(3),
        Edit::ReplacePart { part: 9, with: new_part("text/plain", "", "") },
        Edit::AddPart(new_part("text", "", "")),
        Edit::AddPart(new_part("multipart/mixed; boundary=x", "", "")),
        Edit::AddPart(new_part("text/plain\r\nX: y", "", "")),
        Edit::AddPart(new_part("text/plain", "a\r\nb", "")),
        append("a\0", ""),
        Edit::ReplaceContent { headers: vec![header("Subject", "x")], body: "".into() },
    ] {
        assert!(refused(&message, &[Edit::SetSubject("x".into()), bad]).starts_with("2: "));
    }
    let whole = Edit::ReplaceContent { headers: vec![], body: "".into() };
    assert!(refused(&message, &[append("x", ""), whole]).contains("no other edit of the content"));
    assert!(refused(&message, &[append("x", ""), remove("Content-Type", 1)]).contains("together"));
    assert!(refused(&message, &vec![Edit::SetSubject("x".into()); MAX_EDITS + 1]).contains("at most"));
    edited(&message, &vec![Edit::SetSubject("x".into()); MAX_EDITS]);
}

// --- parts

#[test]
fn a_part_is_replaced_alone() {
    let message = named("mixed");
    let notice = new_part("text/plain", "", "Removed: Gr\u{fc}\u{df}e\n");
    let after = edited(&message, &[Edit::ReplacePart { part: 2, with: notice }]);
    let (before, after_body) = (body(&message), body(&after));
    let start = before.find("Content-Type: application/pdf").unwrap();
    let end = before.find("------=_Part:1.2 (3)--").unwrap();
    let new = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nRemoved: Gr=C3=BC=C3=9Fe\n";
    assert_eq!(after_body, format!("{}{new}\n{}", &before[..start], &before[end..]));
    assert_eq!(after.headers, message.headers);
    assert_eq!(after.part_text(2, 100), "Removed: Gr\u{fc}\u{df}e\r\n");
}

#[test]
fn attachments_keep_their_bytes_and_names() {
    let file: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    for name in
        ["mixed", "plain", "signed", "encrypted", "alternative", "no-headers", "no-body", "missing-end-boundary"]
    {
        let message = named(name);
        let new = NewPart {
            media_type: "application/zip".into(),
            file_name: "\u{dc}ber \"x\".zip".into(),
            content: file.clone().into(),
            ..NewPart::default()
        };
        let after = edited(&message, &[Edit::AddPart(new)]);
        let last = after.tree().parts().iter().rfind(|part| part.parent == 0).unwrap();
        assert_eq!(
            (last.media_type.as_str(), last.file_name.as_str()),
            ("application/zip", "\u{dc}ber \"x\".zip"),
            "{name}"
        );
        assert_eq!((last.disposition.as_str(), last.role), ("attachment", Role::Attachment));
        assert!(after.decoded(last.id) == file, "{name}");
        assert!(memchr::memmem::find(&after.body, &message.body).is_some() || name == "mixed", "{name}");
        assert_eq!(after.tree().parts()[0].media_type, "multipart/mixed");
        assert_eq!(after.header_text("MIME-Version"), ["1.0"]);
    }
}

#[test]
fn what_is_signed_stays_signed_inside() {
    let message = named("signed");
    let after = edited(&message, &[Edit::AddPart(new_part("text/plain", "", "more\n"))]);
    assert_eq!(after.tree().parts()[1].media_type, "multipart/signed");
    assert_eq!(after.entity_read(2, 0, 10_000), message.entity_read(1, 0, 10_000));
    let inner = text(&after.entity_read(1, 0, 10_000));
    assert!(inner.starts_with("Content-Type: multipart/signed; micalg=pgp-sha256;\n protocol="), "{inner}");
}

#[test]
fn parts_are_removed_with_their_delimiter() {
    let message = named("nested");
    let after = edited(&message, &[Edit::RemovePart(5), Edit::RemovePart(6)]);
    let before = body(&message);
    let picture = before.find("--outer-related\nContent-Type: image/png").unwrap();
    let rest = before.find("--outer-related--").unwrap();
    let calendar = before.find("--outer\nContent-Type: text/calendar").unwrap();
    let end = before.find("--outer--").unwrap();
    assert_eq!(body(&after), [&before[..picture], &before[rest..calendar], &before[end..]].concat());
}

#[test]
fn removing_the_only_part_leaves_an_empty_text() {
    for (name, parts) in [("plain", vec![0]), ("mixed", vec![1, 2]), ("mixed", vec![0]), ("signed", vec![0])] {
        let message = named(name);
        let edits: Vec<_> = parts.into_iter().map(Edit::RemovePart).collect();
        let after = edited(&message, &edits);
        let leaf = after.tree().parts().last().unwrap();
        assert_eq!((leaf.media_type.as_str(), after.part_text(leaf.id, 100).trim()), ("text/plain", ""));
        assert!(after.tree().parts().len() <= 2);
    }
    let forwarded = named("rfc822");
    let after = edited(&forwarded, &[Edit::RemovePart(3)]);
    assert_eq!(after.tree().parts().len(), 4);
    assert_eq!(after.part_fields(3)[1].value, " Inner");
}

#[test]
fn the_root_is_replaced_with_its_fields() {
    let after = edited(&named("mixed"), &[Edit::ReplacePart { part: 0, with: new_part("text/html", "", "<p>x</p>") }]);
    assert_eq!(body(&after), "<p>x</p>\n");
    assert_eq!(after.header_text("Content-Type"), ["text/html; charset=utf-8"]);
    assert_eq!(after.header_text("Content-Language"), Vec::<String>::new());
    assert_eq!(after.header_text("Subject"), ["Mixed"]);
}

#[test]
fn the_content_is_replaced_as_a_whole() {
    let message = named("mixed");
    let headers = vec![
        header("Content-Type", "application/pkcs7-mime;\n smime-type=enveloped-data"),
        header("MIME-Version", "1.0"),
        header("Content-Transfer-Encoding", "base64"),
    ];
    let after =
        edited(&message, &[Edit::ReplaceContent { headers, body: "AAAA\r\n".into() }, Edit::SetSubject("...".into())]);
    assert_eq!(&after.body[..], b"AAAA\r\n");
    let names: Vec<_> =
        after.headers.entries().iter().map(|e| (text(&e.field.name), e.received.is_some(), e.changed)).collect();
    let names: Vec<_> = names.iter().map(|(name, old, changed)| (name.as_str(), *old, *changed)).collect();
    assert_eq!(
        names,
        [
            ("From", true, false),
            ("To", true, false),
            ("Subject", true, true),
            ("Date", true, false),
            ("Message-ID", true, false),
            ("MIME-Version", true, false),
            ("Content-Type", true, true),
            ("Content-Transfer-Encoding", false, false),
        ]
    );
}

#[test]
fn a_message_is_attached_as_it_is_and_never_tears_the_tree() {
    let message = named("mixed");
    let original = String::from_utf8(written(&message)).unwrap();
    let after = edited(&message, &[Edit::AddPart(new_part("message/rfc822", "", &original))]);
    // Its boundary is the one of the message around it: hence a new one around both.
    assert_eq!(after.tree().parts()[1].media_type, "multipart/mixed");
    let enclosed = after.tree().parts().iter().find(|part| part.media_type == "message/rfc822").unwrap();
    assert_eq!(after.body[enclosed.content.clone()], *original.as_bytes());
}

#[test]
fn a_boundary_used_twice_is_not_trusted() {
    let twice = from_text(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
         Content-Type: multipart/alternative; boundary=b\n\n--b\n\nx\n--b--\n--b--\n",
    );
    let after = edited(&twice, &[Edit::AddPart(new_part("text/plain", "", "new"))]);
    assert_eq!(after.tree().parts().len(), twice.tree().parts().len() + 2);
    assert!(after.entity_read(1, 0, 10_000).ends_with(&twice.body));
}

// --- text

#[test]
fn text_goes_into_both_alternatives() {
    let after = edited(&named("alternative"), &[append("-- \nFirm", "<p>Firm</p>"), prepend("Top\n", "<p>Top</p>")]);
    assert_eq!(after.part_text(1, 1000), "Top\r\nHello Bob\r\n-- \r\nFirm");
    assert_eq!(
        text(after.part_text(2, 1000).as_bytes()),
        "<html><head><title>x</title></head><body class=\"a>b\">\n<p>Top</p>\n<p>Hello Bob</p>\n<p>Firm</p>\n</body></html>"
    );
    let only_html = edited(&named("alternative"), &[append("", "<p>Firm</p>")]);
    assert_eq!(only_html.part_text(1, 1000), "Hello Bob");
}

#[test]
fn several_texts_stand_in_their_order() {
    let after = edited(&named("no-headers"), &[prepend("a", ""), append("c", ""), prepend("b", ""), append("d", "")]);
    assert_eq!(body(&after), "a\nb\nOnly a body.\nc\nd\n");
}

#[test]
fn text_takes_the_charset_of_its_part() {
    for (name, part, addition, charset) in [
        ("iso-2022-jp", 0, "\u{514d}\u{8cac}\n", "iso-2022-jp"),
        ("gb18030", 0, "\u{1f600}\u{4f60}\n", "gb18030"),
        ("koi8-r", 0, "\u{44f}\u{44f}\u{44f}\n", "koi8-r"),
        ("windows-1252", 0, "\u{20ac}\u{fc}\n", "windows-1252"),
        ("base64-text", 0, "\u{20ac}\n", "utf-8"),
        ("nested", 3, "\u{f1}\u{f1}\n", "iso-8859-1"),
        ("nested", 4, "\u{f1}\u{f1}\n", "iso-8859-1"),
        // Those that can not carry it become UTF-8.
        ("koi8-r", 0, "\u{4f60}\n", "utf-8"),
        ("nested", 3, "\u{4f60}\n", "utf-8"),
        ("nested", 4, "\u{4f60}\n", "utf-8"),
        ("mixed", 1, "\u{f1}\u{f1}\n", "utf-8"),
        ("plain", 0, "\u{f1}\u{f1}\n", "utf-8"),
        ("utf-8-raw", 0, "\u{f1}\u{f1}\n", "utf-8"),
        ("iso-2022-jp", 0, "\u{f1}\u{f1}\n", "utf-8"),
        ("windows-1252", 0, "\u{4f60}\n", "utf-8"),
    ] {
        let message = named(name);
        for edit in [append(addition, addition), prepend(addition, addition)] {
            let after = edited(&message, std::slice::from_ref(&edit));
            let new = &after.tree().parts()[part as usize];
            assert_eq!(new.charset, charset, "{name}");
            let before = message.part_text(part, 10_000);
            let found = after.part_text(part, 10_000);
            assert!(found.contains(addition.trim()), "{name}: {found}");
            let rest = found.replacen(addition.trim(), "", 1);
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&rest), squeeze(&before), "{name}: {edit:?}");
            assert_eq!(after.tree().defects(part), message.tree().defects(part), "{name}");
            let content = &after.body[new.content.clone()];
            assert!(content.is_ascii() || matches!(new.encoding.as_str(), "8bit" | "binary"), "{name}");
        }
    }
}

#[test]
fn encoded_text_stays_encoded_and_mostly_as_it_was() {
    let quoted = named("windows-1252");
    let after = edited(&quoted, &[append("caf\u{e9}", "")]);
    assert!(after.body.starts_with(&quoted.body));
    assert_eq!(text(&after.body[quoted.body.len()..]), "\n\ncaf=E9", "a soft line break ends the old text");
    let html = named("qp-html");
    let after = edited(&html, &[append("", "<p>\u{fc}</p>")]);
    assert_eq!(body(&after), body(&html).replace("Absatz</p></body>", "Absatz</p>=\n\n<p>=C3=BC</p>\n</body>"));
    let base64 = named("base64-text");
    let after = edited(&base64, &[append("\u{fc}", "")]);
    let same = base64.body.len() - 80;
    assert_eq!(after.body[..same], base64.body[..same]);
    assert_eq!(after.headers, base64.headers);
}

#[test]
fn flowed_text_is_not_joined() {
    let after = edited(&named("flowed"), &[append("Disclaimer \n >x\nFrom us\n-- \n", "")]);
    assert!(body(&after).ends_with("so is this one, \n\nDisclaimer\n  >x\n From us\n-- \n"), "{}", body(&after));
}

#[test]
fn what_must_not_be_touched_is_not() {
    for name in ["signed", "encrypted", "smime-signed-opaque", "smime-enveloped", "pgp-inline", "digest"] {
        let message = named(name);
        let after = edited(&message, &[append("text", "html"), prepend("text", "html")]);
        assert!(after.same_body(&message) && after.headers == message.headers, "{name}");
    }
    let after = edited(&named("rfc822"), &[append("text", "html")]);
    assert_eq!(after.part_text(1, 100), "See below.\r\ntext");
    assert_eq!((after.part_text(4, 100), after.part_text(5, 100)), ("Inner text".into(), "<p>Inner text</p>".into()));
    let report = edited(&named("report"), &[append("text", "")]);
    assert_eq!(body(&report).matches("text\n").count(), 1);
}

#[test]
fn text_that_looks_like_a_delimiter_is_hidden() {
    let after = edited(&named("alternative"), &[append("x\n--alt--\ny", "<p>\n--alt\n</p>")]);
    assert_eq!(after.tree().parts().len(), 3);
    assert_eq!(after.part_text(1, 100), "Hello Bob\r\nx\r\n--alt--\r\ny");
    assert_eq!(after.tree().parts()[1].encoding, "base64");
    let long = "x".repeat(2000);
    let after = edited(&named("plain"), &[append(&long, "")]);
    assert!(after.body.split(|byte| *byte == b'\n').all(|line| line.len() < 998));
    assert!(after.part_text(0, 10_000).ends_with(&format!("{long}\r\n")));
}

#[test]
fn parts_without_content_take_text_too() {
    let after = edited(&named("missing-empty-line"), &[append("\u{fc}", "<p>\u{fc}</p>")]);
    assert_eq!(after.part_text(1, 100), "\u{fc}\r\n");
    assert_eq!(after.part_text(2, 100), "", "a doubled delimiter is nothing that anybody reads");
    assert_eq!(after.part_text(3, 100), "This is no field\r\n<p>\u{fc}</p>");
    let after = edited(&named("no-body"), &[append("x", "")]);
    assert_eq!(body(&after), "x\n");
    let after = edited(&named("missing-end-boundary"), &[append("x", ""), Edit::RemovePart(3)]);
    assert_eq!(after.part_text(2, 100), "never closed\r\nx");
}

#[test]
fn text_and_parts_go_together() {
    let message = named("mixed");
    let after = edited(
        &message,
        &[
            append("Firm", ""),
            Edit::ReplacePart { part: 2, with: new_part("text/plain", "notice.txt", "gone") },
            Edit::AddPart(new_part("text/plain", "", "more")),
            Edit::InsertHeader(header("X-Done", "yes")),
        ],
    );
    assert_eq!(after.part_text(1, 100), "See the attached file.\r\nFirm\r\n");
    assert_eq!((after.part_text(2, 100), after.part_text(3, 100)), ("gone".into(), "more".into()));
    assert!(body(&after).ends_with("The epilogue stays too.\n"));
    let empty =
        edited(&message, &[Edit::RemovePart(1), Edit::RemovePart(2), Edit::AddPart(new_part("text/plain", "", "x"))]);
    assert_eq!(empty.part_text(2, 100), "x");
}
