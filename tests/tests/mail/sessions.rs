//! Several transactions on one connection, the ones that never end included.

use serde_json::json;
use wasmilter_tests::{
    letter::{Letter, crlf},
    mta::Mta,
    script::scripted,
    smtp_client::SmtpClient,
    wasmilter::Wasmilter,
};

fn letter(text: &str) -> Vec<u8> {
    crlf(format!("From: ann@example.net\nTo: bob@example.org\nSubject: {text}\n\n{text}\n"))
}

/// Refuses mail from `bad`, marks mail from `marked`, lets everything else pass.
fn host(milter: &std::path::Path) -> Wasmilter {
    let refuse = json!({ "verdict": { "reject": { "code": 550, "enhanced": "5.7.1", "text": "bad" } } });
    let mark = json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "yes" } }] });
    let stages = [
        scripted("refuse", "when = \"envelope.sender.local == 'bad'\"", &refuse),
        scripted("mark", "when = \"envelope.sender.local == 'marked'\"", &mark),
    ];
    Wasmilter::start(milter, &stages.concat())
}

pub(crate) fn verdicts_change_from_message_to_message(mta: Mta) {
    let door = mta.door();
    let host = host(&door.milter);
    let mut client = SmtpClient::connect(door.smtp);
    for round in 0..4 {
        for (from, code) in [("good", 250), ("bad", 550), ("marked", 250), ("bad", 550), ("good", 250)] {
            let recipient = format!("{from}-{round}@example.org");
            let text = format!("{from} {round}");
            client.send(&format!("{from}@example.net"), &[&recipient], &letter(&text)).expect(code);
            if code == 250 {
                let delivered = Letter::parse(&mta.sink().take(&recipient).message);
                assert_eq!(delivered.one("Subject"), text);
                assert_eq!(delivered.all("X-Marked").len(), usize::from(from == "marked"), "{text}");
                assert_eq!(delivered.text(), format!("{text}\r\n"));
            } else {
                assert!(mta.sink().take_now(&recipient).is_none());
            }
        }
    }
    client.quit();
    assert_eq!(host.metrics().sum("wasmilter_messages_total", &["verdict=\"reject\""]), 8.0);
    door.assert_content();
    host.stop();
}

pub(crate) fn an_aborted_transaction_leaves_nothing_behind(mta: Mta) {
    let door = mta.door();
    let host = host(&door.milter);
    let mut client = SmtpClient::connect(door.smtp);
    // Given up after MAIL, after RCPT, and by greeting again. What came before must not colour what comes after.
    client.command("MAIL FROM:<bad@example.net>").expect(250);
    client.command("RSET").expect(250);
    client.command("MAIL FROM:<marked@example.net>").expect(250);
    client.command("RCPT TO:<never@example.org>").expect(250);
    client.command("RSET").expect(250);
    client.command("MAIL FROM:<marked@example.net>").expect(250);
    client.command("RCPT TO:<never@example.org>").expect(250);
    client.command("EHLO again.example.net").expect(250);
    client.send("good@example.net", &["after-aborts@example.org"], &letter("clean")).expect(250);
    let delivery = mta.sink().take("after-aborts@example.org");
    assert_eq!(delivery.to, ["after-aborts@example.org"]);
    assert_eq!(delivery.from, "good@example.net");
    assert!(Letter::parse(&delivery.message).all("X-Marked").is_empty());

    client.send("bad@example.net", &["never@example.org"], &letter("bad")).expect(550);
    client.command("RSET").expect(250);
    client.send("marked@example.net", &["after-reset@example.org"], &letter("marked")).expect(250);
    let delivery = mta.sink().take("after-reset@example.org");
    assert_eq!(Letter::parse(&delivery.message).one("X-Marked"), "yes");
    client.quit();
    assert!(mta.sink().take_now("never@example.org").is_none());
    door.assert_content();
    host.stop();
}

pub(crate) fn a_client_that_vanishes_hurts_nobody(mta: Mta) {
    let door = mta.door();
    let host = host(&door.milter);
    let mut bystander = SmtpClient::connect(door.smtp);
    bystander.begin("marked@example.net", &["bystander@example.org"]);
    for number in 0..5 {
        let mut client = SmtpClient::connect(door.smtp);
        client.begin("good@example.net", &["vanished@example.org"]);
        client.write(b"Subject: half\r\n\r\nthe first lines");
        if number % 2 == 0 {
            client.write("of a larger body\r\n".repeat(20_000).as_bytes());
        }
        client.vanish();
    }
    bystander.content(&letter("bystander"));
    bystander.reply().expect(250);
    let delivery = mta.sink().take("bystander@example.org");
    assert_eq!(Letter::parse(&delivery.message).one("X-Marked"), "yes");
    bystander.quit();

    let mut client = SmtpClient::connect(door.smtp);
    client.send("good@example.net", &["next@example.org"], &letter("next")).expect(250);
    client.quit();
    let _next = mta.sink().take("next@example.org");
    assert!(mta.sink().take_now("vanished@example.org").is_none());
    assert_eq!(host.metrics().sum("wasmilter_messages_total", &[]), 2.0, "vanished mail was judged");
    door.assert_content();
    host.stop();
}

pub(crate) fn sixty_clients_at_once_get_their_own_verdicts(mta: Mta) {
    let door = mta.door();
    let host = host(&door.milter);
    std::thread::scope(|scope| {
        for number in 0..60 {
            let smtp = door.smtp;
            scope.spawn(move || {
                let mut client = SmtpClient::connect(smtp);
                for round in 0..3 {
                    let (from, code) = [("good", 250), ("bad", 550), ("marked", 250)][(number + round) % 3];
                    let recipient = format!("crowd-{number}-{round}@example.org");
                    client.send(&format!("{from}@example.net"), &[&recipient], &letter(&recipient)).expect(code);
                    if code == 250 {
                        let delivered = Letter::parse(&mta.sink().take(&recipient).message);
                        assert_eq!(delivered.one("Subject"), recipient);
                        assert_eq!(delivered.all("X-Marked").len(), usize::from(from == "marked"), "{recipient}");
                    }
                }
                client.quit();
            });
        }
    });
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_messages_total", &["verdict=\"reject\""]), 60.0);
    assert_eq!(metrics.sum("wasmilter_messages_total", &[]), 180.0);
    door.assert_content();
    host.stop();
}
