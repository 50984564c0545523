//! Plugins that break: the configured outcome on the wire, never the mail server's own.

use serde_json::json;
use std::time::{Duration, Instant};
use wasmilter_tests::{
    letter::crlf, mta::Mta, postfix, script::stage, sendmail, smtp_client::SmtpClient, wait, wasmilter::Wasmilter,
};

fn letter(text: &str) -> Vec<u8> {
    crlf(format!("From: ann@example.net\nTo: bob@example.org\nSubject: {text}\n\n{text}\n"))
}

/// Three mails in one session for each policy: a clean one, one on which the plugin traps, a clean one.
pub(crate) fn a_trap_ends_as_on_failure_says(mta: Mta) {
    let door = mta.door();
    let policies = ["tempfail", "reject", "quarantine", "accept", "skip"];
    let stages: Vec<String> = policies
        .iter()
        .map(|policy| {
            let more = format!(
                "grants = [\"headers\"]\non_failure = \"{policy}\"\nwhen = \"envelope.sender.local == 'trap-{policy}'\""
            );
            stage(&format!("trap-{policy}"), "trap", &more, &json!({ "subject": "trap" }))
        })
        .collect();
    let host = Wasmilter::start(&door.milter, &stages.concat());
    let sink = mta.sink();
    for policy in policies {
        let mut client = SmtpClient::connect(door.smtp);
        let (before, trapped, after) = (
            format!("before-{policy}@example.org"),
            format!("trapped-{policy}@example.org"),
            format!("after-{policy}@example.org"),
        );
        client.send("good@example.net", &[&before], &letter("before")).expect(250);
        let reply = client.send(&format!("trap-{policy}@example.net"), &[&trapped], &letter("trap"));
        client.send("good@example.net", &[&after], &letter("after")).expect(250);
        client.quit();
        let _delivered = (sink.take(&before), sink.take(&after));
        match policy {
            "tempfail" => drop(reply.expect(451)),
            "reject" => drop(reply.expect(554)),
            "quarantine" => {
                reply.expect(250);
                assert!(sink.take_now(&trapped).is_none());
                match mta {
                    Mta::Postfix => drop(postfix::shared().held(&trapped)),
                    Mta::Sendmail => wait::until("quarantine", Duration::from_secs(20), || {
                        sendmail::shared().quarantined().contains(&trapped).then_some(())
                    }),
                }
            }
            _ => {
                reply.expect(250);
                let _delivered = sink.take(&trapped);
            }
        }
    }
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &["cause=\"trap\""]), 5.0, "{}", metrics.text());
    door.assert_content();
    host.stop();
}

/// Longer than the 10 s that Sendmail waits for a reply unless it hears that the milter is still alive.
pub(crate) fn a_slow_plugin_outlasts_the_reply_timeout(mta: Mta) {
    let door = mta.door();
    let more = "timeout = \"30s\"\nlimits = { cpu = \"30s\" }\ngrants = [\"headers\", \"clock\"]\nwhen = \"envelope.sender.local == 'slow'\"";
    let host = Wasmilter::start(&door.milter, &stage("slow", "slow", more, &json!({ "milliseconds": 12_000 })));
    let mut client = SmtpClient::connect(door.smtp);
    let started = Instant::now();
    client.send("slow@example.net", &["slow@example.org"], &letter("slow")).expect(250);
    assert!(started.elapsed() >= Duration::from_secs(11), "it was not slow: {:?}", started.elapsed());
    client.send("good@example.net", &["after-slow@example.org"], &letter("after")).expect(250);
    client.quit();
    let _delivered = (mta.sink().take("slow@example.org"), mta.sink().take("after-slow@example.org"));
    door.assert_content();
    host.stop();
}
