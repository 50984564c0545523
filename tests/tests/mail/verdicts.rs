//! Every verdict, as client and queue see it.

use serde_json::{Value, json};
use std::time::Duration;
use wasmilter_tests::{
    letter::{Letter, crlf},
    mta::{Door, Mta},
    postfix,
    script::scripted,
    sendmail,
    smtp_client::{Reply, SmtpClient},
    wait,
    wasmilter::Wasmilter,
};

/// One scripted stage for each case, run for mail from the sender of its name.
fn host(door: &Door, cases: &[(&str, Value)]) -> Wasmilter {
    let stages: Vec<String> = cases
        .iter()
        .map(|(name, config)| scripted(name, &format!("when = \"envelope.sender.local == '{name}'\""), config))
        .collect();
    Wasmilter::start(&door.milter, &stages.concat())
}

fn letter() -> Vec<u8> {
    crlf("From: ann@example.net\nTo: bob@example.org\nSubject: verdicts\n\nbody\n")
}

fn send(client: &mut SmtpClient, name: &str) -> Reply {
    client.send(&format!("{name}@example.net"), &[&format!("{name}@example.org")], &letter())
}

pub(crate) fn reject_tempfail_and_replies_of_several_lines(mta: Mta) {
    let door = mta.door();
    let reject = |code: u32, enhanced: &str, text: &str| json!({ "verdict": { "reject": { "code": code, "enhanced": enhanced, "text": text } } });
    let host = host(
        &door,
        &[
            ("reject", reject(0, "", "")),
            ("reject-text", reject(554, "5.7.9", "we do not want 100% of this")),
            ("reject-lines", reject(550, "5.7.1", "first line\n10 digits first\nlast line")),
            ("tempfail", json!({ "verdict": { "tempfail": { "code": 0, "enhanced": "", "text": "" } } })),
            (
                "tempfail-text",
                json!({ "verdict": { "tempfail": { "code": 452, "enhanced": "4.3.1", "text": "come back" } } }),
            ),
            ("accept", json!({ "verdict": "accept" })),
        ],
    );
    let mut client = SmtpClient::connect(door.smtp);
    let reply = send(&mut client, "reject").expect(550);
    assert!(reply.text().starts_with("5.7.1 "), "{reply}");
    let reply = send(&mut client, "reject-text").expect(554);
    assert!(reply.text().contains("5.7.9 ") && reply.text().ends_with("we do not want 100% of this"), "{reply}");
    let reply = send(&mut client, "reject-lines").expect(550);
    assert_eq!(reply.lines.len(), 3, "{reply}");
    assert!(reply.lines.iter().all(|line| line.starts_with("5.7.1 ")), "{reply}");
    assert!(reply.lines[1].ends_with("10 digits first") && reply.lines[2].ends_with("last line"), "{reply}");
    let reply = send(&mut client, "tempfail").expect(451);
    assert!(reply.text().starts_with("4."), "{reply}");
    let reply = send(&mut client, "tempfail-text").expect(452);
    assert!(reply.text().contains("4.3.1 ") && reply.text().ends_with("come back"), "{reply}");
    send(&mut client, "accept").expect(250);
    client.quit();

    let _accepted = mta.sink().take("accept@example.org");
    for refused in ["reject", "reject-text", "reject-lines", "tempfail", "tempfail-text"] {
        assert!(mta.sink().take_now(&format!("{refused}@example.org")).is_none(), "{refused} was delivered");
    }
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_messages_total", &["verdict=\"reject\""]), 3.0, "{}", metrics.text());
    assert_eq!(metrics.sum("wasmilter_messages_total", &["verdict=\"tempfail\""]), 2.0, "{}", metrics.text());
    door.assert_content();
    host.stop();
}

pub(crate) fn discarded_mail_is_accepted_and_goes_nowhere(mta: Mta) {
    let door = mta.door();
    let host = host(&door, &[("discard", json!({ "verdict": "discard" }))]);
    let mut client = SmtpClient::connect(door.smtp);
    send(&mut client, "discard").expect(250);
    send(&mut client, "after-discard").expect(250);
    client.quit();
    let _control = mta.sink().take("after-discard@example.org");
    assert!(mta.sink().take_now("discard@example.org").is_none());
    match mta {
        Mta::Postfix => {
            let _line = postfix::shared().logged(&["milter-discard", "discard@example.net"]);
            assert!(!postfix::shared().queued().iter().any(|entry| entry.from == "discard@example.net"));
        }
        Mta::Sendmail => {
            let _line = sendmail::shared().logged(&["discarded"]);
        }
    }
    door.assert_content();
    host.stop();
}

pub(crate) fn quarantined_mail_is_held_with_its_edits(mta: Mta) {
    let door = mta.door();
    let quarantine = json!({
        "verdict": { "quarantine": "looks odd" },
        "edits": [{ "add-header": { "name": "X-Held", "value": "yes" } }],
    });
    let host = host(&door, &[("held", quarantine)]);
    let mut client = SmtpClient::connect(door.smtp);
    send(&mut client, "held").expect(250);
    send(&mut client, "after-held").expect(250);
    client.quit();
    let _control = mta.sink().take("after-held@example.org");
    assert!(mta.sink().take_now("held@example.org").is_none());
    match mta {
        Mta::Postfix => {
            let entry = postfix::shared().held("held@example.org");
            assert_eq!(entry.from, "held@example.net");
            let content = postfix::shared().content(&entry.id);
            assert_eq!(Letter::parse(&crlf(content)).one("X-Held"), "yes");
            // The reason is only logged by Postfix 3.10 and later.
            let _line = postfix::shared().logged(&[&entry.id, "milter-hold"]);
        }
        Mta::Sendmail => wait::until("mail in Sendmail's quarantine", Duration::from_secs(20), || {
            let list = sendmail::shared().quarantined();
            (list.contains("held@example.org") && list.contains("looks odd")).then_some(())
        }),
    }
    door.assert_content();
    host.stop();
}
