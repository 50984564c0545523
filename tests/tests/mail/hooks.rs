//! Verdicts before the message: at connect, HELO, MAIL and RCPT.

use serde_json::json;
use wasmilter_tests::{
    letter::crlf,
    mta::Mta,
    script::stage,
    smtp_client::{Reply, SmtpClient},
    wasmilter::Wasmilter,
};

fn letter() -> Vec<u8> {
    crlf("From: ann@example.net\nTo: bob@example.org\nSubject: hooks\n\nbody\n")
}

/// Sendmail puts the address between the enhanced code and the text.
#[track_caller]
fn assert_refused(reply: Reply, code: u16, enhanced: &str, text: &str) {
    let reply = reply.expect(code);
    assert!(reply.text().starts_with(enhanced) && reply.text().ends_with(text), "{reply}");
}

pub(crate) fn a_sender_or_a_recipient_is_refused_and_the_rest_goes_on(mta: Mta) {
    let door = mta.door();
    let rule = |when: &str, verdict: &str, code: u32, enhanced: &str, text: &str| json!({ "when": when, "verdict": verdict, "code": code, "enhanced": enhanced, "text": text });
    let config = json!({
        "mail": rule("unwanted@", "reject", 550, "5.7.1", "we do not know you"),
        "rcpt": rule("full@", "tempfail", 452, "4.2.2", "mailbox is full"),
    });
    let host = Wasmilter::start(&door.milter, &stage("hooks", "hooks", "grants = [\"envelope\"]", &config));
    let mut client = SmtpClient::connect(door.smtp);
    for round in 0..2 {
        assert_refused(client.command("MAIL FROM:<unwanted@example.net>"), 550, "5.7.1", "we do not know you");
        let (one, two) = (format!("hook-{round}@example.org"), format!("hook-{round}-too@example.org"));
        client.command("MAIL FROM:<ann@example.net>").expect(250);
        client.command(&format!("RCPT TO:<{one}>")).expect(250);
        assert_refused(client.command("RCPT TO:<full@example.org>"), 452, "4.2.2", "mailbox is full");
        client.command(&format!("RCPT TO:<{two}>")).expect(250);
        client.command("DATA").expect(354);
        client.content(&letter());
        client.reply().expect(250);
        let delivery = mta.sink().take(&one);
        let second = if delivery.to.contains(&two) { delivery.clone() } else { mta.sink().take(&two) };
        for to in [&delivery.to, &second.to] {
            assert!(!to.contains(&"full@example.org".to_owned()), "{to:?}");
        }
    }
    client.quit();
    door.assert_content();
    host.stop();
}

pub(crate) fn a_client_is_refused_when_it_connects_or_greets(mta: Mta) {
    let door = mta.door();
    let config =
        json!({ "helo": { "when": "liar", "verdict": "reject", "code": 550, "enhanced": "5.7.1", "text": "no" } });
    let host = Wasmilter::start(&door.milter, &stage("hooks", "hooks", "grants = [\"envelope\"]", &config));
    // What is said of a greeting sticks to the session: nothing is accepted any more.
    let mut client = SmtpClient::connect_silent(door.smtp);
    client.command("EHLO liar.example.net");
    let reply = client.command("MAIL FROM:<ann@example.net>");
    assert!((500..600).contains(&reply.code), "{reply}");
    client.quit();
    let mut client = SmtpClient::connect(door.smtp);
    client.send("ann@example.net", &["greeted@example.org"], &letter()).expect(250);
    client.quit();
    let _delivered = mta.sink().take("greeted@example.org");
    door.assert_content();
    host.stop();

    let door = mta.door();
    let config = json!({ "connect": { "when": "127.0.0.1", "verdict": "tempfail", "code": 451, "enhanced": "4.7.1", "text": "not now" } });
    let host = Wasmilter::start(&door.milter, &stage("hooks", "hooks", "grants = [\"envelope\"]", &config));
    let mut client = SmtpClient::connect_silent(door.smtp);
    if client.banner.code == 220 {
        client.command("EHLO client.example.net");
        let reply = client.command("MAIL FROM:<ann@example.net>");
        assert!((400..500).contains(&reply.code), "{reply}");
    } else {
        assert!((400..500).contains(&client.banner.code), "{}", client.banner);
    }
    client.quit();
    door.assert_content();
    host.stop();
}
