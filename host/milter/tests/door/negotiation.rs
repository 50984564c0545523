//! What is asked of MTAs that offer much or little, and that messages pass either way.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    script::{Door, EVERYTHING, MESSAGE, Script},
};
use wasmilter_message::judge::Needs;

fn mail() -> Mail {
    Mail::new(&[("Subject", " hello"), ("X-Folded", " a\r\n\tb")], vec![b'x'; 70_000])
}

#[tokio::test]
async fn every_offer_and_every_need_ends_in_a_verdict() {
    let none = Needs::default();
    let envelope_only = Needs { mail: true, rcpt: true, ..none };
    let message_only = Needs { message: true, ..none };
    let headers_only = Needs { headers: true, ..message_only };
    for needs in [none, envelope_only, message_only, headers_only, MESSAGE, EVERYTHING] {
        let door = Door::open(Script::accepting(needs));
        let mut offers = vec![Offer::V2, Offer { version: 3, ..Offer::V2 }, Offer::V4, Offer::V6];
        offers.push(Offer { version: 7, ..Offer::V6 });
        offers.push(Offer { protocol: 0, actions: 0, ..Offer::V6 });
        offers.extend((0..21).map(|bit| Offer { protocol: 0x1f_ffff & !(1 << bit), ..Offer::V6 }));
        offers.extend((0..9).map(|bit| Offer { actions: 0x1ff & !(1 << bit), ..Offer::V6 }));
        for flavour in [Flavour::Postfix, Flavour::Sendmail] {
            for offer in &offers {
                let mut mta = door.mta(flavour, *offer).await;
                assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
                for _ in 0..2 {
                    let outcome = mta.send(&mail()).await.unwrap();
                    assert_eq!(outcome.reply.command, b'a', "{needs:?} {offer:?}");
                }
                mta.quit().await.unwrap();
            }
        }
        let messages = std::mem::take(&mut *door.script.messages.lock().unwrap());
        assert_eq!(messages.len(), if needs.message { offers.len() * 4 } else { 0 });
        for message in messages {
            // What is needed is there; what is not may be, when the MTA can not leave it out.
            if needs.headers {
                let values: Vec<_> = message.headers.iter().map(|field| field.value.clone()).collect();
                assert_eq!(values, [&b" hello"[..], b" a\r\n\tb"]);
            }
            if needs.body {
                assert_eq!(message.body.len(), 70_000);
            }
            assert_eq!(message.transaction.envelope.recipients[0].raw, "<b@example.net>");
        }
    }
}

#[tokio::test]
async fn only_what_is_needed_is_sent() {
    for (needs, commands) in [
        (Needs::default(), ""),
        (Needs { connect: true, ..Needs::default() }, "C"),
        (Needs { rcpt: true, ..Needs::default() }, "CHMR"),
        (Needs { message: true, ..Needs::default() }, "CHMR"),
        (Needs { message: true, headers: true, ..Needs::default() }, "CHMRL"),
        (MESSAGE, "CHMRLB"),
    ] {
        let door = Door::open(Script::accepting(needs));
        let mta = door.mta(Flavour::Postfix, Offer::V6).await;
        let suppressed = |bit: u32| mta.negotiated.protocol & bit != 0;
        let sent: String = [(0x1, 'C'), (0x2, 'H'), (0x4, 'M'), (0x8, 'R'), (0x200, 'T'), (0x20, 'L'), (0x40, 'N')]
            .into_iter()
            .chain([(0x10, 'B'), (0x100, 'U')])
            .filter(|(bit, _)| !suppressed(*bit))
            .map(|(_, command)| command)
            .collect();
        assert_eq!(sent, commands, "{needs:?}");
        assert!(!suppressed(0x800), "rejected recipients are not asked for");
    }
}

#[tokio::test]
async fn macros_are_asked_for_with_the_defaults_repeated() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mta = door.mta(Flavour::Postfix, Offer::V6).await;
    let stages: Vec<u32> = mta.negotiated.macros.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [0, 1, 2, 3, 4, 5, 6]);
    let names = |stage: usize| mta.negotiated.macros[stage].1.split(' ').collect::<Vec<_>>();
    for wanted in ["j", "_", "{daemon_name}", "{client_addr}", "{client_name}", "{client_ptr}", "{client_port}"] {
        assert!(names(0).contains(&wanted), "{wanted}");
    }
    assert!(names(1).contains(&"{tls_version}") && names(1).contains(&"{cipher}"));
    assert!(names(2).contains(&"i") && names(2).contains(&"{auth_authen}") && names(2).contains(&"{auth_type}"));
    assert!(names(4).contains(&"i") && names(5).contains(&"i"));
    let without = door.mta(Flavour::Postfix, Offer { actions: 0xff, ..Offer::V6 }).await;
    assert!(without.negotiated.macros.is_empty());
}

#[tokio::test]
async fn golden_answer_to_the_usual_offer() {
    let door = Door::open(Script::accepting(Needs::default()));
    let stream = tokio::net::TcpStream::connect(door.inet()).await.unwrap();
    let mut mta = FakeMta::over(stream, Flavour::Postfix);
    mta.raw(&[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 0, 0xff, 0, 0x1f, 0xff, 0xff]).await.unwrap();
    let reply = mta.reply().await.unwrap();
    assert_eq!((reply.command, reply.data), (b'O', vec![0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0x03, 0x7f]));
}

#[tokio::test]
async fn protocol_errors_at_negotiation_close_the_connection() {
    let door = Door::open(Script::accepting(MESSAGE));
    let offer: &[u8] = &[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff];
    let too_old: &[u8] = &[0, 0, 0, 13, b'O', 0, 0, 0, 1, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff];
    for bytes in [too_old, b"\0\0\0\x01O", b"\0\0\0\x0aHlocalhost\0", b"\0\0\0\x01E", b"\x7fnoise"] {
        let stream = tokio::net::TcpStream::connect(door.inet()).await.unwrap();
        let mut mta = FakeMta::over(stream, Flavour::Postfix);
        mta.raw(bytes).await.unwrap();
        mta.closed().await.unwrap();
    }
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 5.0);
    let mut twice = door.mta(Flavour::Postfix, Offer::V6).await;
    twice.raw(offer).await.unwrap();
    twice.closed().await.unwrap();
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 6.0);
}
