//! Rules of milter-facts that no other file proves: what may be said when, and what may be relied on.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    script::{Door, EVERYTHING, MESSAGE, Script, eventually},
};
use std::time::Duration;
use wasmilter_message::{
    decision::{HookVerdict, Reply, Verdict},
    judge::{Hook, Needs},
};
use wasmilter_milter::Settings;

const BOTH: [Flavour; 2] = [Flavour::Postfix, Flavour::Sendmail];
const MAXIMUM_DATA_SIZES: u32 = 0x3000_0000;

fn mail(body: &str) -> Mail {
    Mail::new(&[("Subject", " hello")], body)
}

/// §1.2: the smaller version, and both words ANDed with the offer, whatever it is. The fake MTA takes no more than it
/// offered; with an answer in the wrong place the final replies would be shifted.
#[tokio::test]
async fn answers_stay_within_any_offer() {
    let mut seed = 7u64;
    let mut word = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 32) as u32
    };
    for needs in [MESSAGE, EVERYTHING, Needs { rcpt: true, ..Needs::default() }] {
        let door = Door::open(Script::accepting(needs));
        for round in 0..150 {
            let mut offer = Offer { version: 2 + word() % 7, actions: word(), protocol: word() };
            if round == 0 {
                offer = Offer { version: 9, actions: u32::MAX, protocol: u32::MAX };
            }
            // What the fake MTA was not told to ask for is always offered with version 6 by real ones.
            if offer.version < 6 {
                offer.actions &= 0xff;
            }
            let mut mta = door.mta(BOTH[round % 2], offer).await;
            assert_eq!(mta.negotiated.version, offer.version.min(6), "{offer:?}");
            assert_eq!(mta.negotiated.protocol & MAXIMUM_DATA_SIZES, 0, "{offer:?}");
            assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
            for _ in 0..2 {
                assert_eq!(mta.send(&mail("x\r\n")).await.unwrap().reply.command, b'a', "{needs:?} {offer:?}");
            }
            mta.quit().await.unwrap();
        }
    }
}

/// §1.2, §1.3: a list replaces the MTA's own of that stage. Stage 5 is the end of the message, 6 that of the header.
#[tokio::test]
async fn macro_lists_repeat_every_default_of_both_mtas() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mta = door.mta(Flavour::Postfix, Offer::V6).await;
    for (stage, defaults) in [
        (0, "j {daemon_name} {daemon_addr} v _ {if_name} {if_addr}"),
        (0, "{client_addr} {client_name} {client_ptr} {client_port} {client_resolve}"),
        (1, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"),
        (2, "i {auth_type} {auth_authen} {auth_ssf} {auth_author} {mail_addr} {mail_host} {mail_mailer}"),
        (3, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"),
        (4, "i"),
        (5, "i {msg_id}"),
        (6, "i"),
    ] {
        let (_, names) = mta.negotiated.macros.iter().find(|(number, _)| *number == stage).unwrap();
        for name in defaults.split(' ') {
            assert!(names.split(' ').any(|asked| asked == name), "{name} at {stage}: {names}");
        }
    }
    // Sendmail sends nothing for a stage with an empty list.
    assert!(mta.negotiated.macros.iter().all(|(_, names)| !names.is_empty()));
}

/// §1.5: `s` answers nothing but `B`, and only when it was offered and answered.
#[tokio::test]
async fn skip_is_said_to_body_chunks_only_and_only_if_negotiated() {
    const NO_REPLY_BODY: u32 = 0x8_0000;
    const SKIP: u32 = 0x400;
    let settings = Settings { message_size: 100, ..Settings::default() };
    for (protocol, header, expected) in [
        (0x1f_ffff & !NO_REPLY_BODY, "x", vec![b's', b's']),
        (0x1f_ffff & !NO_REPLY_BODY & !SKIP, "x", vec![b'c', b'c']),
        // Already the header is too large: fields get no `s` all the same.
        (0x1f_ffff & !NO_REPLY_BODY & !0x80, &"x".repeat(200), vec![b's', b's']),
        (0x1f_ffff, "x", vec![]),
    ] {
        let door = Door::open_with(Script::accepting(MESSAGE), settings.clone());
        let mut mta = door.mta(Flavour::Postfix, Offer { protocol, ..Offer::V6 }).await;
        mta.greet("192.0.2.1").await.unwrap();
        mta.command(b'M', b"<a@example.org>\0").await.unwrap();
        if let Some(reply) = mta.command(b'L', format!("X\0{header}\0").as_bytes()).await.unwrap() {
            assert_eq!(reply.command, b'c');
        }
        let mut replies = Vec::new();
        for _ in 0..2 {
            replies.extend(mta.command(b'B', &[b'x'; 200]).await.unwrap().map(|reply| reply.command));
        }
        assert_eq!(replies, expected, "{protocol:#x}");
        let outcome = mta.end_of_message().await.unwrap();
        assert_eq!(outcome.reply.text(), "552 5.3.4 Message is larger than 100 bytes");
        mta.silent(Duration::from_millis(5)).await.unwrap();
    }
}

/// §1.5: at every envelope command a refusal is a reply code, never `a`, `d` or `s`; then there is silence.
#[tokio::test]
async fn hooks_refuse_by_reply_codes_only() {
    let replies = [
        HookVerdict::Reject(Reply::default()),
        HookVerdict::Tempfail(Reply::default()),
        HookVerdict::Reject(Reply::text("50% off\n10 lines")),
    ];
    let texts = [
        "550 5.7.1 Message refused by policy",
        "451 4.7.1 Service unavailable, try again later",
        "550-5.7.1 50%% off\r\n550 5.7.1 10 lines",
    ];
    let commands: [(u8, &[u8]); 4] =
        [(b'C', b"localhost\0U"), (b'H', b"localhost\0"), (b'M', b"<a@example.org>\0"), (b'R', b"<b@example.net>\0")];
    for (verdict, text) in replies.into_iter().zip(texts) {
        let door = Door::open(Script::accepting(EVERYTHING).answering(move |_, _| verdict.clone()));
        let mut mta = door.mta(Flavour::Sendmail, Offer::V6).await;
        for (command, data) in commands {
            let reply = mta.command(command, data).await.unwrap().unwrap();
            assert_eq!((reply.command, reply.text().as_str()), (b'y', text));
            mta.silent(Duration::from_millis(5)).await.unwrap();
        }
        mta.quit().await.unwrap();
    }
}

/// §1.4: a second EHLO ends the transaction. Postfix says so after it only, when the hook has been asked already.
#[tokio::test]
async fn a_second_ehlo_begins_anew() {
    for flavour in BOTH {
        let refuse_bad = |hook: &Hook, so_far: &wasmilter_message::message::Transaction| match hook {
            Hook::Helo if so_far.connected.helo.as_deref() == Some("bad.example") => {
                HookVerdict::Reject(Reply::text("bad name"))
            }
            _ => HookVerdict::Next,
        };
        let door = Door::open(Script::accepting(EVERYTHING).answering(refuse_bad));
        let mut mta = door.greeted(flavour).await;
        mta.send(&mail("first\r\n")).await.unwrap();
        for name in ["good.example", "bad.example"] {
            mta.command(b'M', b"<old@example.org>\0").await.unwrap();
            mta.command(b'R', b"<old@example.net>\0").await.unwrap();
            let refusal = mta.helo(name, &[]).await.unwrap();
            assert_eq!(refusal.is_some(), name == "bad.example", "{flavour:?} {name}");
        }
        let (_, at_helo) = door.script.hooks.lock().unwrap().last().unwrap().clone();
        assert!(at_helo.envelope.recipients.is_empty() && at_helo.envelope.sender.raw.is_empty(), "{flavour:?}");
        assert_eq!(at_helo.connected.address, Some("192.0.2.1".parse().unwrap()), "kept from CONNECT");
        assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 2.0, "{flavour:?}");
        mta.send(&mail("second\r\n")).await.unwrap();
        let messages = door.script.messages.lock().unwrap();
        assert_eq!(messages[1].body, "second\r\n");
        assert_eq!(messages[1].transaction.envelope.recipients.len(), 1);
        assert_eq!(messages[1].transaction.connected.helo.as_deref(), Some("bad.example"));
    }
}

/// §1.4: `smtpd_proxy_filter` shows client and envelope only. Hooks work there, messages are never judged.
#[tokio::test]
async fn before_a_queue_proxy_there_is_no_message() {
    let door = Door::open(Script::accepting(EVERYTHING));
    // With T, and replies to it.
    let mut mta = door.mta(Flavour::Postfix, Offer { protocol: 0x1f_ffff & !0x1_0200, ..Offer::V6 }).await;
    mta.greet("192.0.2.1").await.unwrap();
    for _ in 0..2 {
        mta.command(b'M', b"<a@example.org>\0").await.unwrap();
        mta.command(b'R', b"<b@example.net>\0").await.unwrap();
        assert_eq!(mta.command(b'T', b"").await.unwrap().unwrap().command, b'c');
        mta.abort().await.unwrap();
    }
    mta.quit().await.unwrap();
    let hooks: Vec<&str> = door.script.hooks.lock().unwrap().iter().map(|(hook, _)| hook.name()).collect();
    assert_eq!(hooks, ["connect", "helo", "mail", "rcpt", "mail", "rcpt"]);
    assert!(door.script.messages.lock().unwrap().is_empty());
}

/// §1.3: Sendmail sends macros for a recipient that it then refuses itself: there are macros, but no recipient.
#[tokio::test]
async fn macros_may_come_without_their_recipient() {
    let door = Door::open(Script::accepting(EVERYTHING));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.macros(b'M', &[("i", "4ABC")]);
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.macros(b'R', &[("{rcpt_mailer}", "error"), ("{rcpt_addr}", "unknown")]);
    mta.macros(b'R', &[("{rcpt_mailer}", "local"), ("{rcpt_addr}", "b")]);
    mta.command(b'R', b"<b@example.net>\0").await.unwrap();
    mta.macros(b'R', &[("{rcpt_mailer}", "error"), ("{rcpt_addr}", "unknown")]);
    assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
    let transaction = door.message().transaction;
    assert_eq!(transaction.envelope.recipients.len(), 1);
    assert_eq!(transaction.envelope.queue_id.as_deref(), Some("4ABC"));
}

/// §1.4: an SMTP session may idle; libmilter gives up after 7210 s.
#[tokio::test(start_paused = true)]
async fn an_idle_session_is_kept_for_two_hours() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(7200)).await;
        assert_eq!(mta.send(&mail("x")).await.unwrap().reply.command, b'a');
        mta.flush().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(7211)).await;
    mta.closed().await.unwrap();
}

/// §1.4: and a peer that is silently gone is noticed by TCP keep-alive. The system shows which timer a socket has.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_have_tcp_keep_alive() {
    const KEEP_ALIVE_TIMER: &str = "02:";
    const ESTABLISHED: &str = "01";
    let door = Door::open(Script::accepting(MESSAGE));
    let _mta = door.greeted(Flavour::Postfix).await;
    let port = format!(":{:04X}", door.inet().port());
    eventually("the timer is keep-alive's", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[1].ends_with(&port) && fields[3] == ESTABLISHED && fields[5].starts_with(KEEP_ALIVE_TIMER)
        })
    })
    .await;
}

/// §1.6: the socket is never closed as a way of saying "failed", nor of saying "I am going": what had arrived before a
/// shutdown is answered.
#[tokio::test]
async fn what_has_arrived_before_shutdown_is_answered() {
    let needs = Needs { connect: true, ..MESSAGE };
    let door = Door::open(Script::accepting(needs).taking(Duration::from_millis(100)));
    let mut mta = door.mta(Flavour::Postfix, Offer::V6).await;
    mta.queue(b'C', b"localhost\0U");
    for (command, data) in [(b'H', &b"localhost\0"[..]), (b'M', b"<a@x>\0"), (b'R', b"<b@x>\0"), (b'B', b"x")] {
        mta.queue(command, data);
    }
    mta.queue(b'E', b"");
    mta.flush().await.unwrap();
    // The hook is being asked, the rest waits.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let closing = door.begin_closing();
    assert_eq!(mta.reply().await.unwrap().command, b'c');
    assert_eq!(mta.reply().await.unwrap().command, b'a');
    mta.closed().await.unwrap();
    closing.await.unwrap().unwrap();
}

/// §1.11: what is quarantined without the means for it is not simply delivered.
#[tokio::test]
async fn quarantine_that_was_not_offered_fails_for_now() {
    let door = Door::open(Script::new(MESSAGE, |_| Verdict::Quarantine { reason: "r".into() }));
    let mut mta = door.mta(Flavour::Postfix, Offer { actions: 0x1ff & !0x20, ..Offer::V6 }).await;
    mta.greet("192.0.2.1").await.unwrap();
    let outcome = mta.send(&mail("x")).await.unwrap();
    assert_eq!(outcome.reply.text(), "451 4.3.2 Service unavailable, try again later");
}

/// §1.13: a frame of the largest size is taken, one byte more is an error at once.
#[tokio::test]
async fn frames_have_a_limit() {
    const LIMIT: usize = 1024 * 1024 + 64 * 1024;
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<a@x>\0").await.unwrap();
    mta.command(b'B', &vec![b'x'; LIMIT - 1]).await.unwrap();
    assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
    assert_eq!(door.message().body.len(), LIMIT - 1);
    mta.raw(&(LIMIT as u32 + 1).to_be_bytes()).await.unwrap();
    mta.closed().await.unwrap();
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 1.0);
}

/// §1.1: commands without reply come many in one segment; each command that needs one gets exactly one.
#[tokio::test]
async fn several_messages_in_one_segment_get_one_reply_each() {
    let door = Door::open(Script::accepting(MESSAGE));
    let stream = tokio::net::TcpStream::connect(door.inet()).await.unwrap();
    let mut mta = FakeMta::over(stream, Flavour::Sendmail);
    mta.negotiate(Offer::V6).await.unwrap();
    mta.greet("192.0.2.1").await.unwrap();
    for number in 0..5 {
        mta.macros(b'M', &[]);
        mta.queue(b'M', b"<a@x>\0");
        mta.queue(b'R', b"<b@x>\0");
        mta.queue(b'L', b"Subject\0 x\0");
        mta.queue(b'B', format!("{number}").as_bytes());
        mta.queue(b'E', b"");
        mta.queue(b'A', b"");
    }
    mta.flush().await.unwrap();
    for _ in 0..5 {
        assert_eq!(mta.reply().await.unwrap().command, b'a');
    }
    mta.silent(Duration::from_millis(20)).await.unwrap();
    mta.quit().await.unwrap();
    let bodies: Vec<_> = door.script.messages.lock().unwrap().iter().map(|message| message.body.clone()).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
}

/// §1.10: an MTA that deletes the last recipient answers 250, and the mail is gone.
#[tokio::test]
async fn without_recipients_a_message_may_only_be_discarded() {
    for (verdict, reply) in [
        (Verdict::Accept, b'y'),
        (Verdict::Quarantine { reason: "r".into() }, b'y'),
        (Verdict::Discard, b'd'),
        (Verdict::Reject(Reply::default()), b'y'),
    ] {
        let given = verdict.clone();
        let door = Door::open(Script::new(MESSAGE, move |message| {
            message.envelope.recipients.clear();
            given.clone()
        }));
        let outcome = door.greeted(Flavour::Sendmail).await.send(&mail("x")).await.unwrap();
        assert_eq!((outcome.edits.len(), outcome.reply.command), (0, reply), "{verdict:?}");
        assert_eq!(outcome.reply.text().starts_with("451"), verdict.name() != "discard" && verdict.name() != "reject");
    }
}

/// `RULES.md` says which test proves which rule: the tests must be there.
#[test]
fn the_tests_that_rules_md_names_exist() {
    let milter = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = milter.ancestors().nth(2).unwrap();
    let mut named = 0;
    for line in include_str!("../RULES.md").lines() {
        let tests: Vec<(&str, &str)> = line.split('`').filter_map(|quoted| quoted.split_once(".rs::")).collect();
        let is_rule = line.starts_with("| ") && !line.ends_with("| proven by |");
        assert!(!is_rule || !tests.is_empty(), "no test for: {line}");
        for (file, test) in tests {
            let folder = match file.split('/').next() {
                Some("door") => milter.join("tests"),
                Some("src") => milter.to_owned(),
                Some("fake_mta") => top.join("tests/src"),
                _ => top.join("tests/tests"),
            };
            let path = folder.join(file).with_extension("rs");
            let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(source.contains(&format!("fn {test}(")), "{test} is not in {}", path.display());
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}
