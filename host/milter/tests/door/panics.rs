//! Defects of the door itself, injected by a store that panics: the client hears of a temporary failure, the connection goes on.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer, Outcome},
    script::{Door, EVERYTHING, Script},
};
use std::sync::Arc;
use wasmilter_message::body::{BodyStore, BodyWriter, InMemory};
use wasmilter_milter::Settings;

/// Panics at the bytes that say so, and at the end of a body that says so.
struct Panicking;

struct Writer(Box<dyn BodyWriter>, bool);

impl BodyStore for Panicking {
    fn start(&self) -> Box<dyn BodyWriter> {
        Box::new(Writer(InMemory.start(), false))
    }
}

impl BodyWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        assert!(!bytes.starts_with(b"panic now"), "injected into the body");
        self.1 |= bytes.starts_with(b"panic at the end");
        self.0.write(bytes)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn finish(self: Box<Self>) -> std::io::Result<bytes::Bytes> {
        assert!(!self.1, "injected into the end of the message");
        self.0.finish()
    }
}

fn open() -> Door {
    Door::open_at("inet:127.0.0.1:0", Script::accepting(EVERYTHING), Settings::default(), Arc::new(Panicking))
}

async fn send(mta: &mut FakeMta, body: &str) -> Outcome {
    mta.send(&Mail::new(&[("Subject", " x")], body)).await.unwrap()
}

#[tokio::test]
async fn a_panic_is_a_temporary_failure_and_the_connection_goes_on() {
    // Without and with replies to every command.
    for offer in [Offer::V6, Offer::V2] {
        for flavour in [Flavour::Postfix, Flavour::Sendmail] {
            let door = open();
            let mut mta = door.mta(flavour, offer).await;
            assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
            for round in 1..=3 {
                for body in ["panic now\r\n", "panic at the end\r\n"] {
                    let outcome = send(&mut mta, body).await;
                    assert_eq!(outcome.reply.text(), "451 4.3.2 Service unavailable, try again later", "{outcome:?}");
                    assert!(outcome.edits.is_empty());
                }
                assert_eq!(send(&mut mta, "text\r\n").await.reply.command, b'a', "{flavour:?}");
                assert_eq!(door.script.messages.lock().unwrap().len(), round, "what panicked was not judged");
            }
            mta.quit().await.unwrap();
            assert!(door.metric("wasmilter_connections_total") == 1.0);
            door.close().await;
        }
    }
}

/// Nothing after the panic tells the client that all is well, and a transaction that is given up ends it.
#[tokio::test]
async fn all_that_follows_in_the_transaction_is_a_temporary_failure() {
    let door = open();
    let mut mta = door.mta(Flavour::Sendmail, Offer::V2).await;
    assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
    for ends in [&b"A"[..], b"M"] {
        assert_eq!(mta.command(b'M', b"<a@x>\0").await.unwrap().unwrap().command, b'c');
        assert!(mta.command(b'B', b"panic now").await.unwrap().unwrap().text().starts_with("451 4.3.2"));
        assert!(mta.command(b'B', b"more").await.unwrap().unwrap().text().starts_with("451 4.3.2"));
        mta.queue(b'E', b"");
        assert!(mta.reply().await.unwrap().text().starts_with("451 4.3.2"));
        assert!(mta.command(b'M', b"<a@x>\0").await.unwrap().unwrap().command == b'c', "the next one is a new one");
        assert!(mta.command(b'B', b"panic now").await.unwrap().unwrap().text().starts_with("451 4.3.2"));
        if ends == b"A" {
            mta.queue(b'A', b"");
        }
    }
    assert!(send(&mut mta, "text\r\n").await.reply.command == b'a');
    mta.quit().await.unwrap();
}
