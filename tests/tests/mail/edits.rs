//! Every change that a plugin can ask for, seen in the delivered bytes.

use serde_json::{Value, json};
use wasmilter_tests::{
    letter::{Letter, below_received, crlf},
    mta::Mta,
    script::{edits, scripted},
    sink::Delivery,
    smtp_client::SmtpClient,
    wasmilter::Wasmilter,
};

/// Three fields of one name, folded, and with unusual white space; everything that an edit must not disturb.
fn letter() -> Vec<u8> {
    crlf(
        "From: Ann <ann@example.net>\n\
         To: bob@example.org\n\
         X-Same: first\n\
         Subject:  two spaces,\n\tfolded by a tab\n\
         X-Same:second without a space\n\
         X-Other: stays\n\
         x-SAME:\tthird after a tab\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=us-ascii\n\
         \n\
         The body.\n.\nIts end.\n",
    )
}

/// Each case is a stage that runs for mail from its own sender only.
fn through(mta: Mta, cases: &[(&str, Value)]) -> Vec<Delivery> {
    let door = mta.door();
    let stages: Vec<String> = cases
        .iter()
        .map(|(name, wanted)| scripted(name, &format!("when = \"envelope.sender.local == '{name}'\""), &edits(wanted)))
        .collect();
    let host = Wasmilter::start(&door.milter, &stages.concat());
    let mut client = SmtpClient::connect(door.smtp);
    let deliveries = cases
        .iter()
        .map(|(name, _)| {
            let recipient = format!("{name}@example.org");
            client.send(&format!("{name}@example.net"), &[&recipient], &letter()).expect(250);
            mta.sink().take(&recipient)
        })
        .collect();
    client.quit();
    door.assert_content();
    host.stop();
    deliveries
}

/// The delivered message without the mail server's Received field.
fn rest(delivery: &Delivery) -> Letter {
    let text = &delivery.message;
    let letter = Letter::parse(text);
    let own = letter.fields.iter().position(|(name, _)| name == "Received").expect("a Received field");
    let mut fields = letter.fields;
    fields.remove(own);
    Letter { fields, body: letter.body }
}

pub(crate) fn header_fields_are_added_inserted_changed_and_removed(mta: Mta) {
    let cases = [
        ("add", json!([{ "add-header": { "name": "X-Added", "value": "below all\r\n others" } }])),
        (
            "insert",
            json!([
                { "insert-header": { "name": "X-Inserted", "value": "one" } },
                { "insert-header": { "name": "X-Inserted", "value": "two" } },
            ]),
        ),
        ("replace", json!([{ "replace-header": { "name": "X-Other", "occurrence": 1, "value": "changed" } }])),
        ("remove", json!([{ "remove-header": { "name": "X-Other", "occurrence": 1 } }])),
        ("subject", json!([{ "set-subject": "Grüße" }])),
    ];
    let deliveries = through(mta, &cases);
    let original = Letter::parse(&letter());

    let added = rest(&deliveries[0]);
    let mut expected = original.clone();
    expected.fields.push(("X-Added".into(), b" below all\r\n others".to_vec()));
    assert_eq!(added, expected);

    // Above all others, the mail server's own Received field included; the first of the list on top.
    let inserted = Letter::parse(&deliveries[1].message);
    assert_eq!(inserted.names()[..3], ["X-Inserted", "X-Inserted", "Received"]);
    assert_eq!(inserted.all("X-Inserted"), ["one", "two"]);
    assert_eq!(inserted.fields[3..], original.fields[..]);
    assert_eq!(inserted.body, original.body);

    let mut expected = original.clone();
    expected.fields[5].1 = b" changed".to_vec();
    assert_eq!(rest(&deliveries[2]), expected);

    let mut expected = original.clone();
    expected.fields.remove(5);
    assert_eq!(rest(&deliveries[3]), expected);

    let subject = rest(&deliveries[4]);
    let encoded = subject.one("Subject");
    assert!(encoded.starts_with("=?") && encoded.is_ascii(), "{encoded}");
    let others =
        |letter: &Letter| letter.fields.iter().filter(|(name, _)| name != "Subject").cloned().collect::<Vec<_>>();
    assert_eq!(others(&subject), others(&original));
    assert_eq!(subject.body, original.body);
}

pub(crate) fn occurrences_of_a_header_field_are_told_apart(mta: Mta) {
    let change =
        |occurrence: u32| json!([{ "replace-header": { "name": "X-Same", "occurrence": occurrence, "value": "new" } }]);
    let remove = |occurrences: &[u32]| {
        occurrences
            .iter()
            .map(|occurrence| json!({ "remove-header": { "name": "x-same", "occurrence": occurrence } }))
            .collect::<Value>()
    };
    let cases = [
        ("change-1", change(1)),
        ("change-2", change(2)),
        ("change-3", change(3)),
        ("remove-1", remove(&[1])),
        ("remove-2", remove(&[2])),
        ("remove-3", remove(&[3])),
        ("remove-1-and-2", remove(&[1, 2])),
        ("remove-each", remove(&[1, 2, 3])),
        ("remove-all", remove(&[0])),
    ];
    let deliveries = through(mta, &cases);
    let (first, second, third) = ("first", "second without a space", "third after a tab");
    let expected: [&[&str]; 9] = [
        &["new", second, third],
        &[first, "new", third],
        &[first, second, "new"],
        &[second, third],
        &[first, third],
        &[first, second],
        &[third],
        &[],
        &[],
    ];
    let original = Letter::parse(&letter());
    let others = |letter: &Letter| {
        letter.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("X-Same")).cloned().collect::<Vec<_>>()
    };
    for (((name, _), delivery), expected) in cases.iter().zip(&deliveries).zip(expected) {
        let got = rest(delivery);
        assert_eq!(got.all("X-Same"), expected, "{name}");
        assert_eq!(others(&got), others(&original), "{name}: other fields");
        assert_eq!(got.body, original.body, "{name}: body");
    }
    // The fields that stay, stay in their places, white space and case included.
    let one = rest(&deliveries[3]);
    let place = |letter: &Letter, value: &[u8]| letter.fields.iter().position(|field| field.1 == value);
    assert_eq!(place(&one, b"second without a space"), Some(3));
    assert_eq!(one.fields[5], ("x-SAME".into(), b"\tthird after a tab".to_vec()));
}

pub(crate) fn the_content_is_replaced(mta: Mta) {
    let large = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n".repeat(5_000);
    let entity = |body: &str| {
        json!([{ "replace-content": {
            "headers": [
                { "name": "MIME-Version", "value": "1.0" },
                { "name": "Content-Type", "value": "text/html; charset=utf-8" },
                { "name": "Content-Transfer-Encoding", "value": "8bit" },
            ],
            "content": body,
        } }])
    };
    let cases = [
        ("content", entity("<p>.new</p>\r\n.\r\n..\r\nGrüße\r\n")),
        ("content-empty", entity("")),
        ("content-large", entity(&large)),
        (
            "part",
            json!([{ "replace-part": { "part": 0, "media_type": "text/plain", "file_name": "", "content": "instead" } }]),
        ),
        ("text", json!([{ "append-text": { "plain": "appended", "html": "<p>appended</p>" } }])),
    ];
    let deliveries = through(mta, &cases);
    let original = Letter::parse(&letter());
    let others = |letter: &Letter| {
        let mime =
            |name: &str| name.eq_ignore_ascii_case("MIME-Version") || name.to_ascii_lowercase().starts_with("content-");
        letter.fields.iter().filter(|(name, _)| !mime(name)).cloned().collect::<Vec<_>>()
    };
    for (number, body) in ["<p>.new</p>\r\n.\r\n..\r\nGrüße\r\n", "", large.as_str()].into_iter().enumerate() {
        let name = cases[number].0;
        let got = rest(&deliveries[number]);
        assert_eq!(got.text(), body, "{name}");
        assert_eq!(got.one("Content-Type"), "text/html; charset=utf-8", "{name}");
        assert_eq!(got.one("Content-Transfer-Encoding"), "8bit", "{name}");
        assert_eq!(got.one("MIME-Version"), "1.0", "{name}");
        assert_eq!(others(&got), others(&original), "{name}");
    }
    assert!(rest(&deliveries[3]).text().contains("instead"));
    assert!(!rest(&deliveries[3]).text().contains("The body."));
    let appended = rest(&deliveries[4]).text();
    assert!(appended.starts_with("The body.\r\n.\r\nIts end.\r\n"), "{appended}");
    assert!(appended.trim_end().ends_with("appended"), "{appended}");
}

pub(crate) fn the_envelope_is_changed(mta: Mta) {
    let cases = [
        (
            "sender",
            json!([{ "set-sender": { "address": "other@example.net", "arguments": ["RET=HDRS", "ENVID=seven"] } }]),
        ),
        ("null-sender", json!([{ "set-sender": { "address": "", "arguments": [] } }])),
        ("more", json!([{ "add-recipient": { "address": "extra@example.org", "arguments": [] } }])),
        (
            "instead",
            json!([
                { "remove-recipient": "gone@example.org" },
                { "add-recipient": { "address": "here@example.org", "arguments": [] } },
            ]),
        ),
    ];
    let door = mta.door();
    let stages: Vec<String> = cases
        .iter()
        .map(|(name, wanted)| scripted(name, &format!("when = \"envelope.sender.local == '{name}'\""), &edits(wanted)))
        .collect();
    let host = Wasmilter::start(&door.milter, &stages.concat());
    let mut client = SmtpClient::connect(door.smtp);
    let mut send = |name: &str, to: &[&str]| client.send(&format!("{name}@example.net"), to, &letter()).expect(250);
    let sink = mta.sink();

    send("sender", &["of-sender@example.org"]);
    let delivery = sink.take("of-sender@example.org");
    assert_eq!(delivery.from, "other@example.net");
    assert!(delivery.from_arguments.contains("RET=HDRS"), "{}", delivery.from_arguments);
    assert!(delivery.from_arguments.contains("ENVID=seven"), "{}", delivery.from_arguments);
    assert_eq!(below_received(&delivery.message), letter());

    send("null-sender", &["of-null-sender@example.org"]);
    assert_eq!(sink.take("of-null-sender@example.org").from, "");

    send("more", &["of-more@example.org"]);
    let delivery = sink.take("of-more@example.org");
    let extra = if delivery.to.len() == 2 { delivery.clone() } else { sink.take("extra@example.org") };
    assert!(extra.to.contains(&"extra@example.org".to_owned()), "{:?}", extra.to);
    assert_eq!(delivery.from, "more@example.net");

    send("instead", &["stays@example.org", "gone@example.org"]);
    let delivery = sink.take("stays@example.org");
    let here = if delivery.to.len() == 2 { delivery.clone() } else { sink.take("here@example.org") };
    assert!(here.to.contains(&"here@example.org".to_owned()), "{:?}", here.to);
    assert!(!delivery.to.contains(&"gone@example.org".to_owned()), "{:?}", delivery.to);
    assert!(sink.take_now("gone@example.org").is_none());

    client.quit();
    door.assert_content();
    host.stop();
}
