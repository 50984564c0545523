//! Defects of the host, injected into the daemon as a library: each is survived, counted by its part and answered as configured.

use crate::{greeted, passed, run};
use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use wasmilter_app::{App, Inherited, config::source::Source, shutdown::Signals};
use wasmilter_message::{
    body::{BodyStore, BodyWriter, InMemory},
    deadline::Deadline,
    decision::{Annotation, Decision, Edit as Asked, HookDecision, Verdict},
    failure::{Cause, Failure},
    judge::{BoxFuture, Hook, Needs},
    message::ParsedMessage,
    policy::{Called, PluginInfo, Policy},
};
use wasmilter_tests::{
    corpus::repository,
    fake_mta::{Edit, Flavour, Mail},
    scratch::Scratch,
    wait,
    wasmilter::metrics,
};

/// Panics while it judges mail from `call@…`; for mail from `pipeline@…` it asks for an edit that needs the store.
struct PanickingPlugin(PluginInfo);

impl Policy for PanickingPlugin {
    fn info(&self) -> &PluginInfo {
        &self.0
    }

    fn needs(&self) -> Needs {
        Needs { message: true, headers: true, body: true, ..Needs::default() }
    }

    fn decide(&self, message: Arc<ParsedMessage>, _: Deadline) -> BoxFuture<'_, Called<Decision>> {
        Box::pin(async move {
            let sender = message.envelope.sender.address().to_owned();
            assert!(!sender.starts_with("call@"), "injected into a call");
            let mut decision = Decision::verdict(Verdict::Next);
            if sender.starts_with("pipeline@") {
                let text = Annotation { plain: "pipeline panics".to_owned(), html: String::new() };
                decision.edits.push(Asked::AppendText(text));
            }
            Ok(decision).into()
        })
    }

    fn hook(&self, _: Hook, _: Arc<ParsedMessage>, _: Deadline) -> BoxFuture<'_, Called<HookDecision>> {
        Box::pin(async { Err(Failure::new(Cause::Failed, "there are no hooks")).into() })
    }
}

/// Panics over bytes that say so: those of a mail server, which the door writes, and those of an edit, which the pipeline writes.
struct PanickingStore;

impl BodyStore for PanickingStore {
    fn start(&self) -> Box<dyn BodyWriter> {
        Box::new(PanickingWriter(InMemory.start()))
    }
}

struct PanickingWriter(Box<dyn BodyWriter>);

impl BodyWriter for PanickingWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("session panics"), "injected into the door");
        assert!(!text.contains("pipeline panics"), "injected into the pipeline");
        self.0.write(bytes)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn finish(self: Box<Self>) -> std::io::Result<bytes::Bytes> {
        self.0.finish()
    }
}

/// The daemon in this process.
struct Daemon {
    admin: SocketAddr,
    stop: tokio::sync::mpsc::Sender<&'static str>,
    thread: JoinHandle<()>,
}

impl Daemon {
    fn start(scratch: &Scratch, address: &str) -> Self {
        let noop = repository().join("target/guests/noop.wasm");
        let text = format!(
            "[milter]\nlisten = {address:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n[sandbox]\ncache = \"cache\"\n[limits]\nqueue_time = \"30s\"\n\
             [[stage]]\nname = \"stage\"\nplugin = {noop:?}\ngrants = [\"envelope\", \"headers\", \"body\"]\non_failure = \"quarantine\"\n"
        );
        let source = Source::new(scratch.join("wasmilter.toml"), text);
        let (announced, addresses) = mpsc::channel();
        let (stop, signals) = tokio::sync::mpsc::channel(1);
        let thread = thread::spawn(move || {
            let mut app = App::build(&source).unwrap();
            app.replace_policy("stage", &(Arc::new(PanickingPlugin(PluginInfo::default())) as Arc<dyn Policy>));
            app.replace_bodies(Arc::new(PanickingStore));
            let ready =
                move |addresses: &wasmilter_app::serve::Addresses| announced.send(addresses.admin.unwrap()).unwrap();
            actix_rt::System::new()
                .block_on(app.serve_until(Signals::from_channel(signals), Inherited::default(), ready))
                .unwrap();
        });
        Self { admin: addresses.recv().expect("the daemon starts"), stop, thread }
    }

    fn panics(&self, part: &str) -> f64 {
        metrics(self.admin).sum("wasmilter_panics_total", &[&format!("part=\"{part}\"")])
    }

    fn stop(self) {
        self.stop.blocking_send("the test's end").unwrap();
        self.thread.join().unwrap();
    }
}

fn from(sender: &str, body: &str) -> Mail {
    let mut mail = Mail::new(&[("From", " a@example.org"), ("Subject", " faults")], body);
    mail.sender = format!("<{sender}@example.org>");
    mail
}

#[test]
fn panics_of_the_host_are_survived_counted_and_answered() {
    let scratch = Scratch::new("faults");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let daemon = Daemon::start(&scratch, &address);
    run(async {
        let mut neighbour = greeted(&address, Flavour::Sendmail).await;
        let mut mta = greeted(&address, Flavour::Postfix).await;
        for round in 1..=3 {
            // In a plugin's call: the stage's on_failure.
            let outcome = mta.send(&from("call", "text\r\n")).await.unwrap();
            assert!(matches!(&outcome.edits[..], [Edit::Quarantine(reason)] if reason.contains("died")), "{outcome:?}");
            assert!(passed(&outcome));
            assert_eq!(daemon.panics("call"), f64::from(round));

            // Between the stages: a temporary failure, on a connection that goes on.
            let outcome = mta.send(&from("pipeline", "text\r\n")).await.unwrap();
            assert!(outcome.reply.text().starts_with("451 4.3.0"), "{outcome:?}");
            assert_eq!(daemon.panics("pipeline"), f64::from(round));

            // In the door: the same.
            let outcome = mta.send(&from("anybody", "session panics\r\n")).await.unwrap();
            assert!(outcome.reply.text().starts_with("451 4.3.2"), "{outcome:?}");
            assert_eq!(daemon.panics("session"), f64::from(round));

            for mta in [&mut neighbour, &mut mta] {
                assert!(passed(&mta.send(&from("anybody", "text\r\n")).await.unwrap()));
            }
        }
        mta.quit().await.unwrap();
        neighbour.quit().await.unwrap();
    });
    let closed = || (metrics(daemon.admin).sum("wasmilter_connections", &[]) == 0.0).then_some(());
    wait::until("all connections to be closed", Duration::from_secs(20), closed);
    let metrics = metrics(daemon.admin);
    for (name, labels, value) in [
        ("wasmilter_panics_total", &["part=\"judge\""][..], 0.0),
        ("wasmilter_stage_failures_total", &["cause=\"died\""], 3.0),
        ("wasmilter_host_failures_total", &["cause=\"died\""], 3.0),
        ("wasmilter_messages_in_flight", &[], 0.0),
        ("wasmilter_stage_in_flight", &[], 0.0),
    ] {
        assert_eq!(metrics.sum(name, labels), value, "{name} {labels:?}: {}", metrics.text());
    }
    daemon.stop();
}
