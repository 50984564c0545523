//! What the door logs is about sessions, never about what is in a message.

use crate::{
    fake_mta::{Edit, FakeMta, Flavour, Mail, Offer},
    script::{Door, EVERYTHING, MESSAGE, Script},
};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing_subscriber::fmt::MakeWriter;
use wasmilter_message::{
    decision::{HookVerdict, Verdict},
    envelope::Mailbox,
    headers::{Entry, Field},
};
use wasmilter_milter::Settings;

/// Stands in every place of a message that could leak.
const SECRET: &str = "s3cr3t";

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// What has been logged since the last look.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

fn secret_mail() -> Mail {
    let mut mail = Mail::new(&[("Subject", " s3cr3t"), ("X-s3cr3t", " x")], "s3cr3t\r\n".repeat(100));
    mail.sender = "<s3cr3t@example.org>".into();
    mail.recipients = vec!["<s3cr3t@example.net>".into(), "<b@example.net>".into()];
    mail
}

/// Changes everything to something secret.
fn secret_changes(message: &mut wasmilter_message::message::ParsedMessage) -> Verdict {
    let entries = message.headers.entries_mut();
    entries[0].field.value = " s3cr3t again".into();
    entries[0].changed = true;
    entries.remove(1);
    entries.push(Entry { field: Field::new("X-New", " s3cr3t"), received: None, changed: false });
    message.body = "s3cr3t".into();
    message.envelope.sender = Mailbox::new("<other-s3cr3t@example.org>");
    message.envelope.recipients = vec![Mailbox::new("<new-s3cr3t@example.net>")];
    Verdict::Quarantine { reason: SECRET.to_owned() }
}

#[tokio::test]
async fn nothing_of_a_message_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // Judgements that can be said, and ones for which each kind of modification in turn was not offered.
    let door = Door::open(Script::new(MESSAGE, secret_changes));
    let outcome = door.greeted(Flavour::Postfix).await.send(&secret_mail()).await.unwrap();
    assert!(outcome.edits.contains(&Edit::Quarantine(SECRET.into())), "the secret was really there");
    for bit in [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40] {
        let mut mta = door.mta(Flavour::Postfix, Offer { actions: 0x1ff & !bit, ..Offer::V6 }).await;
        mta.greet("192.0.2.1").await.unwrap();
        log.take();
        assert_eq!(mta.send(&secret_mail()).await.unwrap().reply.command, b'y', "{bit:#x}");
        let logged = log.take();
        assert!(logged.contains("can not be told") && !logged.contains(SECRET), "{bit:#x}: {logged}");
    }

    // Judgements that are malformed.
    let malformed: [fn(&mut wasmilter_message::message::ParsedMessage); 3] = [
        |m| m.envelope.sender = Mailbox::new("<s3cr3t\0@x>"),
        |m| m.headers.entries_mut()[0].field.value = " s3cr3t\0".into(),
        |m| m.headers.entries_mut()[0].received = None,
    ];
    for change in malformed {
        let door = Door::open(Script::new(MESSAGE, move |message| {
            message.headers.entries_mut()[0].field.name = "Bad s3cr3t".into();
            change(message);
            Verdict::Accept
        }));
        let mut mta = door.greeted(Flavour::Postfix).await;
        log.take();
        assert_eq!(mta.send(&secret_mail()).await.unwrap().reply.command, b'y');
        let logged = log.take();
        assert!(logged.contains("can not be told") && !logged.contains(SECRET), "{logged}");
    }

    // Messages that are too large, judges that panic or never answer.
    for (body, settings, said) in [
        ("large", Settings { message_size: 200, ..Settings::default() }, "not judged"),
        ("panic", Settings::default(), "panicked"),
        ("slow", Settings { judgement: Duration::from_millis(10), ..Settings::default() }, "in time"),
    ] {
        let delay = if body == "slow" { Duration::from_secs(60) } else { Duration::ZERO };
        let script = Script::new(MESSAGE, |_| panic!("at the judge")).taking(delay);
        let door = Door::open_with(script, settings);
        let mut mta = door.greeted(Flavour::Postfix).await;
        log.take();
        assert_eq!(mta.send(&secret_mail()).await.unwrap().reply.command, b'y', "{body}");
        let logged = log.take();
        assert!(logged.contains(said) && !logged.contains(SECRET), "{logged}");
    }

    // Hooks, and commands that are malformed, cut or unknown.
    let door = Door::open(Script::accepting(EVERYTHING).answering(|_, _| HookVerdict::Next));
    for bytes in [
        &b"\0\0\0\x07Ls3cr3t"[..],
        b"\0\0\0\x07Ms3cr3t",
        b"\0\0\0\x09Cs3cr3t\0X",
        b"\0\0\0\x07?s3cr3t",
        b"\0\0\0\xffLs3cr3t",
        b"s3cr3t s3cr3t",
    ] {
        let mut mta = door.greeted(Flavour::Sendmail).await;
        mta.macros(b'U', &[("s3cr3t", SECRET)]);
        mta.queue(b'U', b"s3cr3t\0");
        mta.raw(bytes).await.unwrap();
        if bytes.starts_with(b"\0\0\0\xff") {
            drop(mta);
        } else {
            drain(mta).await;
        }
    }
    crate::script::eventually("all are closed", || door.metric("wasmilter_connections") == 0.0).await;
    let logged = log.take();
    assert!(logged.contains("connection of the mail server closed") && !logged.contains(SECRET), "{logged}");
    assert!(logged.contains("inside a command"), "{logged}");
}

/// Reads until the door closes.
async fn drain(mut mta: FakeMta) {
    while mta.reply().await.is_ok() {}
}
