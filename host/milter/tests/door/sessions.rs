//! Every shape of session of milter-facts §1.4, as the two MTAs produce them.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    script::{Door, EVERYTHING, MESSAGE, Script, eventually},
};
use std::{sync::Arc, time::Duration};
use wasmilter_message::{
    body::InMemory,
    decision::{HookVerdict, Reply, Verdict},
    facts::Value,
    judge::{Hook, Needs},
};
use wasmilter_milter::Settings;

const BOTH: [Flavour; 2] = [Flavour::Postfix, Flavour::Sendmail];

fn mail(body: &str) -> Mail {
    Mail::new(&[("From", " a@example.org"), ("Subject", " hello")], body)
}

#[tokio::test]
async fn several_messages_on_one_connection_do_not_mix() {
    for flavour in BOTH {
        let door = Door::open(Script::accepting(MESSAGE));
        let mut mta = door.greeted(flavour).await;
        for number in 0..3 {
            let mut mail = mail(&format!("body {number}\r\n"));
            mail.recipients = vec![format!("<r{number}@example.net>"), "<all@example.net>".into()];
            assert_eq!(mta.send(&mail).await.unwrap().reply.command, b'a');
        }
        mta.quit().await.unwrap();
        let messages = std::mem::take(&mut *door.script.messages.lock().unwrap());
        let mut ids = std::collections::HashSet::new();
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.body, format!("body {number}\r\n"));
            assert_eq!(message.headers.len(), 2);
            let envelope = &message.transaction.envelope;
            let recipients: Vec<_> = envelope.recipients.iter().map(|r| r.raw.as_str()).collect();
            assert_eq!(recipients, [&format!("<r{number}@example.net>"), "<all@example.net>"]);
            assert_eq!(envelope.sender.raw, "<a@example.org>");
            assert_eq!(envelope.sender.arguments, ["SIZE=1000"]);
            // Learned at MAIL from Sendmail, later from Postfix.
            assert_eq!(envelope.queue_id.as_deref(), Some(format!("4Queue{}", number + 1).as_str()));
            assert!(ids.insert(message.transaction.id.clone()), "ids are unique");
            assert_eq!(message.transaction.connected.helo.as_deref(), Some("client.example.org"));
        }
        assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 0.0, "an A after E is nothing");
        eventually("connection is closed", || door.metric("wasmilter_connections") == 0.0).await;
        assert_eq!(door.metric("wasmilter_connections_total"), 1.0);
    }
}

#[tokio::test]
async fn a_new_mail_resets_what_an_unfinished_one_left() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<old@example.org>\0").await.unwrap();
    mta.command(b'R', b"<old@example.net>\0").await.unwrap();
    mta.command(b'L', b"X-Old\0 1\0").await.unwrap();
    mta.command(b'B', b"old").await.unwrap();
    mta.send(&mail("new\r\n")).await.unwrap();
    let message = door.message();
    assert_eq!(message.body, "new\r\n");
    assert_eq!(message.headers.len(), 2);
    assert_eq!(message.transaction.envelope.recipients.len(), 1);
    assert_eq!(message.transaction.envelope.sender.raw, "<a@example.org>");
    assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 1.0);
}

#[tokio::test]
async fn aborts_get_no_reply_and_keep_client_and_helo() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    for _ in 0..3 {
        mta.abort().await.unwrap();
    }
    mta.command(b'M', b"<old@example.org>\0").await.unwrap();
    mta.command(b'B', b"old").await.unwrap();
    mta.abort().await.unwrap();
    mta.abort().await.unwrap();
    mta.silent(Duration::from_millis(50)).await.unwrap();
    mta.send(&mail("new\r\n")).await.unwrap();
    let message = door.message();
    assert_eq!(message.body, "new\r\n");
    let client = &message.transaction.connected;
    assert_eq!(client.address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(client.port, Some(4711));
    assert_eq!(client.hostname.as_deref(), Some("client.example.org"));
    assert_eq!(client.helo.as_deref(), Some("client.example.org"));
    assert_eq!(client.listener.as_deref(), Some("smtpd"));
    assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 1.0);
}

#[tokio::test]
async fn helo_comes_again_after_starttls() {
    for flavour in BOTH {
        let door = Door::open(Script::accepting(MESSAGE));
        let mut mta = door.greeted(flavour).await;
        mta.send(&mail("plain\r\n")).await.unwrap();
        let tls = [("{tls_version}", "TLSv1.3"), ("{cipher}", "TLS_AES_256_GCM_SHA384")];
        mta.helo("second.example.org", &tls).await.unwrap();
        mta.macros(b'M', &[("{auth_type}", "PLAIN"), ("{auth_authen}", "alice")]);
        mta.command(b'M', b"<a@example.org>\0").await.unwrap();
        mta.command(b'R', b"<b@example.net>\0").await.unwrap();
        assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
        let messages = door.script.messages.lock().unwrap();
        assert_eq!(messages[0].transaction.connected.tls, None);
        assert_eq!(messages[0].transaction.connected.auth, None);
        let client = &messages[1].transaction.connected;
        assert_eq!(client.helo.as_deref(), Some("second.example.org"));
        assert_eq!(client.tls.as_ref().unwrap().version, "TLSv1.3");
        assert_eq!(client.tls.as_ref().unwrap().cipher, "TLS_AES_256_GCM_SHA384");
        assert_eq!(client.auth.as_ref().unwrap().user, "alice");
        assert_eq!(client.address, Some("192.0.2.1".parse().unwrap()), "kept from CONNECT");
    }
}

#[tokio::test]
async fn ipv6_clients_in_both_spellings() {
    for flavour in BOTH {
        let door = Door::open(Script::accepting(MESSAGE));
        let mut mta = door.mta(flavour, Offer::V6).await;
        mta.greet("2001:db8::7").await.unwrap();
        mta.send(&mail("x")).await.unwrap();
        assert_eq!(door.message().transaction.connected.address, Some("2001:db8::7".parse().unwrap()));
    }
}

#[tokio::test]
async fn unverified_and_forged_names_are_no_names() {
    for (hostname, macros, expected) in [
        ("[192.0.2.1]", vec![], None),
        ("unknown", vec![], None),
        ("forged.example", vec![("{client_resolve}", "FORGED"), ("{client_name}", "[192.0.2.1]")], None),
        ("forged.example", vec![("{client_resolve}", "FORGED")], None),
        ("mx.example", vec![("{client_resolve}", "OK"), ("{client_name}", "mx.example")], Some("mx.example")),
    ] {
        let door = Door::open(Script::accepting(MESSAGE));
        let mut mta = door.mta(Flavour::Sendmail, Offer::V6).await;
        mta.macros(b'C', &macros);
        mta.command(b'C', format!("{hostname}\x004\0\x00192.0.2.1\0").as_bytes()).await.unwrap();
        mta.send(&mail("x")).await.unwrap();
        assert_eq!(door.message().transaction.connected.hostname.as_deref(), expected, "{hostname} {macros:?}");
    }
}

#[tokio::test]
async fn local_submission_has_addresses_without_brackets() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.mta(Flavour::Postfix, Offer::V6).await;
    mta.command(b'C', b"localhost\x004\0\x00127.0.0.1\0").await.unwrap();
    let mail = Mail { sender: String::new(), recipients: vec!["b@example.net".into()], ..mail("x") };
    mta.send(&mail).await.unwrap();
    let transaction = door.message().transaction;
    assert_eq!(transaction.envelope.sender.address(), "");
    assert_eq!(transaction.envelope.recipients[0].raw, "b@example.net");
    assert_eq!(transaction.connected.port, None);
}

#[tokio::test]
async fn a_message_without_mail_is_judged_all_the_same() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.command(b'L', b"Subject\0 lost\0").await.unwrap();
    mta.command(b'B', b"body").await.unwrap();
    assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
    let message = door.message();
    assert_eq!(message.headers.len(), 1);
    assert!(message.transaction.envelope.recipients.is_empty());
    // And a bare E right after.
    assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
    mta.quit().await.unwrap();
}

#[tokio::test]
async fn data_may_be_refused_by_others_and_come_again() {
    let door = Door::open(Script::accepting(EVERYTHING));
    // Without NODATA and NR_DATA, so that T is sent and waits for a reply.
    let mut mta = door.mta(Flavour::Postfix, Offer { protocol: 0x1f_ffff & !0x1_0200, ..Offer::V6 }).await;
    mta.greet("192.0.2.1").await.unwrap();
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.command(b'R', b"<b@example.net>\0").await.unwrap();
    assert_eq!(mta.command(b'T', b"").await.unwrap().unwrap().command, b'c');
    mta.command(b'R', b"<c@example.net>\0").await.unwrap();
    assert_eq!(mta.command(b'T', b"").await.unwrap().unwrap().command, b'c');
    mta.command(b'L', b"Subject\0 s\0").await.unwrap();
    mta.end_of_message().await.unwrap();
    assert_eq!(door.message().transaction.envelope.recipients.len(), 2);
}

#[tokio::test]
async fn unknown_commands_are_let_through() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.mta(Flavour::Sendmail, Offer { protocol: 0x1f_ffff & !0x2_0100, ..Offer::V6 }).await;
    mta.macros(b'U', &[]);
    assert_eq!(mta.command(b'U', b"BDAT 100 LAST\0").await.unwrap().unwrap().command, b'c');
    mta.send(&mail("x")).await.unwrap();
    assert_eq!(door.message().body, "x");
}

#[tokio::test]
async fn macros_without_pairs_and_for_every_command() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    for command in *b"CHMRTLNBEUXYZ\0" {
        mta.macros(command, &[]);
        mta.macros(command, &[("{empty}", "")]);
    }
    mta.queue(b'D', b"");
    mta.queue(b'D', b"Munterminated");
    mta.send(&mail("x")).await.unwrap();
    assert_eq!(door.message().body, "x");
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 0.0);
}

#[tokio::test]
async fn the_queue_id_is_learned_late() {
    let script = Script::accepting(Needs { rcpt: true, ..MESSAGE });
    let door = Door::open(script);
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.send(&Mail { recipients: vec!["<a@x>".into(), "<b@x>".into()], ..mail("x") }).await.unwrap();
    let hooks = door.script.hooks.lock().unwrap();
    assert_eq!(hooks[0].1.envelope.queue_id, None);
    assert_eq!(hooks[1].1.envelope.queue_id.as_deref(), Some("4Queue1"));
    assert_eq!(hooks[0].1.id, hooks[1].1.id, "our own id is there from the beginning");
    assert_eq!(door.message().transaction.id, hooks[0].1.id);
}

#[tokio::test]
async fn the_connection_may_be_kept_for_another_session() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.send(&mail("first")).await.unwrap();
    mta.queue(b'K', b"");
    mta.command(b'C', b"other.example\x004\x10\x00198.51.100.7\0").await.unwrap();
    mta.send(&mail("second")).await.unwrap();
    let messages = door.script.messages.lock().unwrap();
    let client = &messages[1].transaction.connected;
    assert_eq!(client.address, Some("198.51.100.7".parse().unwrap()));
    assert_eq!((client.helo.as_deref(), client.listener.as_deref()), (None, None), "nothing is left of the first");
}

#[tokio::test]
async fn the_end_of_the_stream_is_a_normal_end_anywhere() {
    let door = Door::open(Script::accepting(MESSAGE));
    drop(door.greeted(Flavour::Sendmail).await);
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.command(b'B', b"half of a mess").await.unwrap();
    mta.flush().await.unwrap();
    drop(mta);
    eventually("both are closed", || door.metric("wasmilter_connections_total") == 2.0).await;
    eventually("both are closed", || door.metric("wasmilter_connections") == 0.0).await;
    assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 1.0);
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 0.0);
    assert!(door.script.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_judgement_that_nobody_waits_for_is_given_up() {
    let door = Door::open(Script::accepting(MESSAGE).taking(Duration::from_secs(3600)));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.queue(b'E', b"");
    mta.flush().await.unwrap();
    eventually("judge has begun", || *door.script.unfinished.lock().unwrap() == 1).await;
    drop(mta);
    eventually("session has ended", || door.metric("wasmilter_connections") == 0.0).await;
    assert_eq!(door.metric("wasmilter_transactions_aborted_total"), 1.0);
}

#[tokio::test]
async fn hooks_are_asked_in_turn_and_hand_on_their_facts() {
    for flavour in BOTH {
        let door = Door::open(Script::accepting(EVERYTHING));
        let mut mta = door.greeted(flavour).await;
        mta.send(&mail("one")).await.unwrap();
        mta.send(&mail("two")).await.unwrap();
        mta.helo("again.example", &[]).await.unwrap();
        let hooks = door.script.hooks.lock().unwrap();
        let names: Vec<&str> = hooks.iter().map(|(hook, _)| hook.name()).collect();
        assert_eq!(names, ["connect", "helo", "mail", "rcpt", "mail", "rcpt", "helo"]);
        let facts = |number: usize| hooks[number].1.facts.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(facts(0), [""; 0]);
        assert_eq!(facts(1), ["hook.connect"]);
        assert_eq!(facts(3), ["hook.connect", "hook.helo", "hook.mail"]);
        assert_eq!(facts(4), ["hook.connect", "hook.helo"], "a transaction's facts end with it");
        assert_eq!(facts(6), ["hook.connect"], "a new HELO begins anew");
        assert_eq!(hooks[3].1.envelope.sender.raw, "<a@example.org>");
        assert!(hooks[3].1.envelope.recipients.is_empty(), "those before it");
        let messages = door.script.messages.lock().unwrap();
        assert_eq!(messages[0].transaction.facts.get("hook.rcpt"), Some(&Value::Flag(true)));
    }
}

#[tokio::test]
async fn hooks_refuse_session_transaction_and_recipient() {
    for flavour in BOTH {
        let door = Door::open(Script::accepting(EVERYTHING).answering(|hook, so_far| {
            let refused = match hook {
                Hook::Connect => false,
                Hook::Helo => so_far.connected.helo.as_deref() == Some("bad.example"),
                Hook::Mail => so_far.envelope.sender.raw == "<bad@example.org>",
                Hook::Rcpt(recipient) => recipient.raw == "<bad@example.net>",
            };
            let reply = Reply { code: 0, enhanced: "5.1.1".into(), text: format!("no {}", hook.name()) };
            if refused { HookVerdict::Reject(reply) } else { HookVerdict::Next }
        }));
        let mut mta = door.greeted(flavour).await;
        let outcome = mta.send(&Mail { sender: "<bad@example.org>".into(), ..mail("x") }).await.unwrap();
        assert_eq!((outcome.stage, outcome.reply.text().as_str()), (b'M', "550 5.1.1 no mail"));
        let two = vec!["<bad@example.net>".into(), "<good@example.net>".into()];
        let outcome = mta.send(&Mail { recipients: two, ..mail("x") }).await.unwrap();
        assert_eq!((outcome.stage, outcome.recipients.as_slice()), (b'E', &["<good@example.net>".to_owned()][..]));
        let one = vec!["<bad@example.net>".into()];
        let outcome = mta.send(&Mail { recipients: one, ..mail("x") }).await.unwrap();
        assert_eq!((outcome.stage, outcome.reply.text().as_str()), (b'R', "550 5.1.1 no rcpt"));
        let refusal = mta.helo("bad.example", &[]).await.unwrap().unwrap();
        assert_eq!(refusal.text(), "550 5.1.1 no helo");
        let message = door.message();
        assert_eq!(message.transaction.envelope.recipients.len(), 1, "a refused recipient is none");
    }
}

#[tokio::test]
async fn a_client_is_refused_at_connect() {
    let refuse =
        |_: &Hook, _: &_| HookVerdict::Tempfail(Reply { code: 421, enhanced: "4.7.0".into(), text: "bye".into() });
    let door = Door::open(Script::accepting(EVERYTHING).answering(refuse));
    let mut mta = door.mta(Flavour::Postfix, Offer::V6).await;
    let refusal = mta.greet("192.0.2.1").await.unwrap().unwrap();
    assert_eq!(refusal.data, b"421 4.7.0 bye\0");
}

#[tokio::test]
async fn recipients_that_the_mta_refused_are_not_counted() {
    let door = Door::open(Script::accepting(EVERYTHING));
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.macros(b'R', &[("{rcpt_mailer}", "error"), ("{rcpt_host}", "5.1.1"), ("{rcpt_addr}", "unknown user")]);
    assert_eq!(mta.command(b'R', b"<unknown@example.net>\0").await.unwrap().unwrap().command, b'c');
    mta.macros(b'R', &[("{rcpt_mailer}", "local")]);
    mta.command(b'R', b"<b@example.net>\0").await.unwrap();
    mta.end_of_message().await.unwrap();
    assert_eq!(door.message().transaction.envelope.recipients.len(), 1);
}

#[tokio::test]
async fn over_a_unix_socket_and_ipv6() {
    let directory = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}/milter.sock", directory.path().display());
    for address in [unix.as_str(), "inet:[::1]:0"] {
        let door = Door::open_at(address, Script::accepting(MESSAGE), Settings::default(), Arc::new(InMemory));
        let mut mta = door.greeted(Flavour::Postfix).await;
        assert_eq!(mta.send(&mail("x")).await.unwrap().reply.command, b'a');
        mta.quit().await.unwrap();
        door.close().await;
        assert!(FakeMta::connect(&unix, Flavour::Postfix, Offer::V6).await.is_err(), "closed");
    }
}

#[tokio::test]
async fn at_shutdown_transactions_end_and_idle_connections_close() {
    let script = Script::new(MESSAGE, |_| Verdict::Accept).taking(Duration::from_millis(300));
    let door = Door::open(script);
    let mut idle = door.greeted(Flavour::Postfix).await;
    let mut busy = door.greeted(Flavour::Postfix).await;
    busy.command(b'M', b"<a@example.org>\0").await.unwrap();
    busy.queue(b'E', b"");
    busy.flush().await.unwrap();
    let script = Arc::clone(&door.script);
    eventually("judge has begun", || *script.unfinished.lock().unwrap() == 1).await;
    let address = door.address.clone();
    let closing = door.begin_closing();
    idle.closed().await.unwrap();
    assert_eq!(busy.reply().await.unwrap().command, b'a', "the message under way gets its verdict");
    busy.closed().await.unwrap();
    closing.await.unwrap().unwrap();
    assert!(FakeMta::connect(&address, Flavour::Postfix, Offer::V6).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let settings = Settings { drain: Duration::from_millis(100), ..Settings::default() };
    let door = Door::open_with(Script::accepting(MESSAGE), settings);
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    tokio::time::timeout(Duration::from_secs(5), door.close()).await.unwrap();
    mta.closed().await.unwrap();
}

/// Were the connection just closed, the mail server would fail the whole SMTP session.
#[tokio::test]
async fn a_message_still_judged_when_shutdown_runs_out_of_patience_is_a_temporary_failure() {
    let settings = Settings { drain: Duration::from_millis(100), ..Settings::default() };
    let script = Script::new(MESSAGE, |_| Verdict::Accept).taking(Duration::from_secs(60));
    let door = Door::open_with(script, settings);
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    mta.queue(b'E', b"");
    mta.flush().await.unwrap();
    let script = Arc::clone(&door.script);
    eventually("judge has begun", || *script.unfinished.lock().unwrap() == 1).await;
    let closing = door.begin_closing();
    let reply = tokio::time::timeout(Duration::from_secs(5), mta.reply()).await.unwrap().unwrap();
    assert_eq!((reply.command, reply.data.starts_with(b"451 4.3.2 ")), (b'y', true), "{reply:?}");
    mta.closed().await.unwrap();
    closing.await.unwrap().unwrap();
}
