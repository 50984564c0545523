//! What the MTA hears at the end of a message, byte for byte, and that it always hears something.

use crate::{
    fake_mta::{Edit, Flavour, Mail, Offer},
    script::{Door, EVERYTHING, MESSAGE, Script},
};
use std::time::{Duration, Instant};
use wasmilter_message::{
    decision::{HookVerdict, Reply, Verdict},
    headers::{Entry, Field},
    message::ParsedMessage,
};
use wasmilter_milter::Settings;

const BOTH: [Flavour; 2] = [Flavour::Postfix, Flavour::Sendmail];

fn mail() -> Mail {
    Mail::new(&[("Subject", " hello")], "body\r\n")
}

fn add_header(message: &mut ParsedMessage) {
    let field = Field::new("X-Seen", " yes");
    message.headers.entries_mut().push(Entry { field, received: None, changed: false });
}

#[tokio::test]
async fn golden_replies_to_every_verdict() {
    let reply = |code, enhanced: &str, text: &str| Reply { code, enhanced: enhanced.into(), text: text.into() };
    for (verdict, command, data) in [
        (Verdict::Next, b'a', &b""[..]),
        (Verdict::Accept, b'a', b""),
        (Verdict::Discard, b'd', b""),
        (Verdict::Reject(Reply::default()), b'y', b"550 5.7.1 Message refused by policy\0"),
        (Verdict::Reject(reply(554, "5.6.0", "virus")), b'y', b"554 5.6.0 virus\0"),
        (Verdict::Reject(Reply::text("10 messages per hour")), b'y', b"550 5.7.1 10 messages per hour\0"),
        (Verdict::Reject(Reply::text("100% spam")), b'y', b"550 5.7.1 100%% spam\0"),
        (Verdict::Reject(Reply::text("a\nb")), b'y', b"550-5.7.1 a\r\n550 5.7.1 b\0"),
        (Verdict::Reject(Reply::text("caf\u{e9}")), b'y', b"550 5.7.1 caf?\0"),
        (Verdict::Tempfail(Reply::default()), b'y', b"451 4.7.1 Service unavailable, try again later\0"),
        (Verdict::Tempfail(reply(421, "4.3.2", "bye")), b'y', b"421 4.3.2 bye\0"),
    ] {
        for flavour in BOTH {
            let given = verdict.clone();
            let door = Door::open(Script::new(MESSAGE, move |message| {
                add_header(message);
                given.clone()
            }));
            let mut mta = door.greeted(flavour).await;
            let outcome = mta.send(&mail()).await.unwrap();
            assert_eq!((outcome.reply.command, outcome.reply.data.as_slice()), (command, data), "{verdict:?}");
            let delivers = matches!(verdict, Verdict::Next | Verdict::Accept);
            assert_eq!(outcome.edits.len(), usize::from(delivers), "no modifications of what is not delivered");
            // Nothing more comes, and the next message is unharmed.
            mta.silent(Duration::from_millis(5)).await.unwrap();
            assert_eq!(mta.send(&mail()).await.unwrap().reply.command, command);
            mta.quit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn quarantine_comes_after_modifications_and_before_the_reply() {
    let reason = format!("suspicious\r\nattachment caf\u{e9} {}", "x".repeat(200));
    let door = Door::open(Script::new(MESSAGE, move |message| {
        add_header(message);
        Verdict::Quarantine { reason: reason.clone() }
    }));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!(outcome.reply.command, b'a');
    let [Edit::AddHeader { .. }, Edit::Quarantine(reason)] = &outcome.edits[..] else { panic!("{:?}", outcome.edits) };
    assert!(reason.starts_with("suspicious attachment caf? xxx") && reason.len() == 100, "{reason}");
}

#[tokio::test]
async fn a_panicking_judge_is_a_temporary_failure() {
    let door = Door::open(Script::new(MESSAGE, |message| {
        assert!(message.body != "panic", "the judge panics");
        Verdict::Accept
    }));
    let mut mta = door.greeted(Flavour::Postfix).await;
    for _ in 0..2 {
        let outcome = mta.send(&Mail::new(&[], "panic")).await.unwrap();
        assert_eq!(outcome.reply.data, b"451 4.3.2 Service unavailable, try again later\0");
        assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a', "on the same connection");
    }
}

#[tokio::test]
async fn a_panicking_hook_is_a_temporary_failure() {
    let door = Door::open(Script::accepting(EVERYTHING).answering(|hook, _| {
        assert!(hook.name() != "mail", "the hook panics");
        HookVerdict::Next
    }));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!(
        (outcome.stage, outcome.reply.text().as_str()),
        (b'M', "451 4.3.2 Service unavailable, try again later")
    );
}

#[tokio::test(start_paused = true)]
async fn the_mta_is_kept_waiting_with_progress() {
    let door = Door::open(Script::accepting(MESSAGE).taking(Duration::from_secs(21)));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.patience = Duration::from_secs(5);
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!((outcome.progress, outcome.reply.command), (5, b'a'));
    // A quick judge never says so.
    let quick = Door::open(Script::accepting(MESSAGE));
    let mut mta = quick.greeted(Flavour::Sendmail).await;
    assert_eq!(mta.send(&mail()).await.unwrap().progress, 0);
}

#[tokio::test(start_paused = true)]
async fn hooks_answer_before_sendmail_loses_patience() {
    let door = Door::open(Script::accepting(EVERYTHING).taking(Duration::from_secs(60)));
    let mut mta = door.mta(Flavour::Sendmail, Offer::V6).await;
    assert_eq!(mta.patience, Duration::from_secs(10));
    let refusal = mta.greet("192.0.2.1").await.unwrap().unwrap();
    assert_eq!(refusal.data, b"451 4.3.2 Service unavailable, try again later\0");
}

#[tokio::test(start_paused = true)]
async fn a_judge_without_end_is_a_temporary_failure() {
    let settings = Settings { judgement: Duration::from_secs(30), ..Settings::default() };
    let door = Door::open_with(Script::accepting(MESSAGE).taking(Duration::from_secs(86_400)), settings);
    let mut mta = door.greeted(Flavour::Postfix).await;
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!(outcome.reply.data, b"451 4.3.2 Service unavailable, try again later\0");
    assert_eq!(outcome.progress, 7);
}

#[tokio::test]
async fn a_message_past_the_limit_is_refused_by_policy() {
    for offer in [Offer::V6, Offer { protocol: 0x1f_ffff & !0x8_0000, ..Offer::V6 }, Offer::V2] {
        let settings = Settings { message_size: 100_000, ..Settings::default() };
        let door = Door::open_with(Script::accepting(MESSAGE), settings);
        let mut mta = door.mta(Flavour::Postfix, offer).await;
        mta.greet("192.0.2.1").await.unwrap();
        let outcome = mta.send(&Mail::new(&[], vec![b'x'; 300_000])).await.unwrap();
        assert_eq!(outcome.reply.data, b"552 5.3.4 Message is larger than 100000 bytes\0");
        // Of the two verdicts "reject" comes first.
        assert_eq!(door.metric("wasmilter_messages_not_judged_total"), 1.0);
        assert_eq!(mta.send(&Mail::new(&[], vec![b'x'; 99_998])).await.unwrap().reply.command, b'a');
        assert_eq!(door.message().body.len(), 99_998, "only the small one was judged");
    }
}

#[tokio::test]
async fn thirty_megabytes_arrive_as_they_were_sent() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let body: Vec<u8> = (0u32..30_000_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let begun = Instant::now();
    assert_eq!(mta.send(&Mail::new(&[], body.clone())).await.unwrap().reply.command, b'a');
    assert!(door.message().body == body, "changed on the way");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
