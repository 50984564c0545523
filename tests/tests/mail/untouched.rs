//! What no stage touches arrives as it came.

use serde_json::json;
use std::time::Instant;
use wasmilter_tests::{
    corpus::{self, Specimen},
    letter::{below_received, crlf, difference},
    mta::Mta,
    script::stage,
    smtp_client::{Reply, SmtpClient},
    wasmilter::Wasmilter,
};

/// Every how many messages of the shared corpus one goes through the mail servers; all of them go through the host in
/// `load.rs`.
const SAMPLE: usize = 60;

pub(crate) fn without_a_milter_the_harness_changes_nothing(mta: Mta) {
    let letter = crlf("From: Ann <ann@example.net>\nTo: bob@example.org\nSubject: hello\n\n.dots\nand text\n.\n\n");
    let mut client = SmtpClient::connect(mta.plain());
    client.send("ann@example.net", &["harness@example.org"], &letter).expect(250);
    client.quit();
    let delivery = mta.sink().take("harness@example.org");
    assert_eq!(delivery.from, "ann@example.net");
    assert_eq!(below_received(&delivery.message), letter);
}

/// Mail servers change some mail by themselves: they repair addresses, drop fields, refuse what is malformed. So every
/// message goes through the same server twice, with and without the host.
pub(crate) fn mail_that_no_stage_touches_is_identical(mta: Mta) {
    let door = mta.door();
    let host = Wasmilter::start(&door.milter, &stage("nothing", "noop", "grants = [\"body\"]", &json!({})));
    let specimens: Vec<Specimen> = corpus::own().into_iter().chain(corpus::shared(SAMPLE)).collect();
    assert!(!specimens.is_empty(), "no corpus at all");

    let started = Instant::now();
    let mut differing = Vec::new();
    let mut compared = 0;
    for (number, specimen) in specimens.iter().enumerate() {
        let without = format!("without-{number}@example.org");
        let with = format!("with-{number}@example.org");
        let plain = attempt(mta.plain(), &without, specimen);
        let filtered = attempt(door.smtp, &with, specimen);
        if plain.code != filtered.code {
            differing.push(format!("{}: answered {plain} without, {filtered} with the host", specimen.name));
            continue;
        }
        if plain.code != 250 {
            continue;
        }
        let (plain, filtered) = (mta.sink().take(&without), mta.sink().take(&with));
        if let Some(difference) = difference(below_received(&plain.message), below_received(&filtered.message)) {
            differing.push(format!("{}: {difference}", specimen.name));
        }
        compared += 1;
    }
    eprintln!("{mta:?}: {compared} of {} messages compared in {:?}", specimens.len(), started.elapsed());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(compared * 10 >= specimens.len() * 8, "only {compared} of {} were accepted", specimens.len());
    door.assert_content();
    host.stop();
}

fn attempt(to: std::net::SocketAddr, recipient: &str, specimen: &Specimen) -> Reply {
    let mut client = SmtpClient::connect(to);
    let reply = client.send("ann@example.net", &[recipient], &specimen.message);
    client.quit();
    reply
}

pub(crate) fn thirty_megabytes_pass(mta: Mta) {
    let door = mta.door();
    let host = Wasmilter::start(&door.milter, &stage("nothing", "noop", "grants = [\"body\"]", &json!({})));
    let mut letter = crlf("From: ann@example.net\nTo: bob@example.org\nSubject: large\n\n");
    let mut number = 0_u64;
    while letter.len() < 30_000_000 {
        letter.extend_from_slice(format!("{number:076}\r\n").as_bytes());
        number += 1;
    }
    let mut client = SmtpClient::connect(door.smtp);
    client.send("ann@example.net", &["large@example.org"], &letter).expect(250);
    client.send("ann@example.net", &["after-large@example.org"], &crlf("Subject: small\n\nsmall\n")).expect(250);
    client.quit();
    let large = mta.sink().take("large@example.org");
    assert!(below_received(&large.message) == letter, "the large message was changed");
    let _small = mta.sink().take("after-large@example.org");
    door.assert_content();
    host.stop();
}
