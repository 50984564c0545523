//! What only Postfix is asked to do here: mail from local programs (`non_smtpd_milters`), clients over IPv6, chunks
//! (RFC 3030) and addresses in UTF-8 (RFC 6531).

use serde_json::json;
use wasmilter_tests::{
    letter::{Letter, crlf},
    postfix,
    script::scripted,
    smtp_client::SmtpClient,
    wasmilter::Wasmilter,
};

fn marking() -> String {
    scripted("mark", "", &json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "yes" } }] }))
}

#[test]
fn mail_of_local_programs_is_filtered() {
    let postfix = postfix::shared();
    let refuse = json!({ "verdict": "discard" });
    let config = scripted("refuse", "when = \"envelope.sender.local == 'unwanted'\"", &refuse) + &marking();
    let host = Wasmilter::start(postfix.local_milter(), &config);
    let letter = b"From: ann@example.net\nTo: local@example.org\nSubject: local\n\nby a program\n";
    postfix.submit_locally("ann@example.net", &["local@example.org"], letter);
    let delivery = postfix.sink().take("local@example.org");
    let delivered = Letter::parse(&delivery.message);
    assert_eq!(delivered.one("X-Marked"), "yes");
    assert_eq!(delivered.text(), "by a program\r\n");

    // Without a sender, as programs send bounces.
    postfix.submit_locally("", &["local-null@example.org"], letter);
    assert_eq!(Letter::parse(&postfix.sink().take("local-null@example.org").message).one("X-Marked"), "yes");

    postfix.submit_locally("unwanted@example.net", &["local-unwanted@example.org"], letter);
    let _line = postfix.logged(&["milter-discard", "unwanted@example.net"]);
    assert!(postfix.sink().take_now("local-unwanted@example.org").is_none());
    let milter = postfix.local_milter().display().to_string();
    assert!(!postfix.log().lines().any(|line| line.contains("warning") && line.contains(&milter)));
    host.stop();
}

#[test]
fn clients_over_ipv6_are_filtered() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let config = scripted(
        "six",
        "when = \"client.address == '::1'\"",
        &json!({ "edits": [{ "add-header": { "name": "X-Six", "value": "yes" } }] }),
    );
    let host = Wasmilter::start(&listener.milter, &config);
    let letter = crlf("Subject: six\n\nbody\n");
    let mut client = SmtpClient::connect(listener.smtp6);
    client.send("ann@example.net", &["six@example.org"], &letter).expect(250);
    client.quit();
    assert_eq!(Letter::parse(&postfix.sink().take("six@example.org").message).one("X-Six"), "yes");
    let mut client = SmtpClient::connect(listener.smtp);
    client.send("ann@example.net", &["four@example.org"], &letter).expect(250);
    client.quit();
    assert!(Letter::parse(&postfix.sink().take("four@example.org").message).all("X-Six").is_empty());
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn chunks_and_addresses_in_utf8_are_taken() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let edits = json!({ "edits": [
        { "add-header": { "name": "X-Marked", "value": "yes" } },
        { "remove-recipient": "straße@example.org" },
        { "add-recipient": { "address": "größe@example.org" } },
    ] });
    let host =
        Wasmilter::start(&listener.milter, &scripted("utf8", "when = \"envelope.sender.local == 'grüße'\"", &edits));
    let letter = crlf("From: grüße@example.net\nTo: straße@example.org\nSubject: Grüße\n\n.körper\n");
    let mut client = SmtpClient::connect(listener.smtp);
    for round in 0..2 {
        client.command("MAIL FROM:<grüße@example.net> SMTPUTF8 BODY=8BITMIME").expect(250);
        client.command("RCPT TO:<straße@example.org>").expect(250);
        client.command(&format!("RCPT TO:<utf8-{round}@example.org>")).expect(250);
        // RFC 3030: no dot-stuffing, and the chunks end anywhere.
        for (chunk, last) in [(&letter[..31], ""), (&letter[31..], " LAST")] {
            client.write(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
            client.write(chunk);
            client.reply().expect(250);
        }
        let delivery = postfix.sink().take(&format!("utf8-{round}@example.org"));
        assert_eq!(delivery.from, "grüße@example.net");
        let other = if delivery.to.len() == 2 { delivery.clone() } else { postfix.sink().take("größe@example.org") };
        assert!(other.to.contains(&"größe@example.org".to_owned()), "{:?}", other.to);
        assert!(!delivery.to.contains(&"straße@example.org".to_owned()), "{:?}", delivery.to);
        let (delivered, original) = (Letter::parse(&delivery.message), Letter::parse(&letter));
        assert_eq!(delivered.one("X-Marked"), "yes");
        assert_eq!(delivered.fields[1..4], original.fields[..]);
        assert_eq!(delivered.body, original.body);
    }
    client.quit();
    postfix.assert_content_with(listener);
    host.stop();
}
