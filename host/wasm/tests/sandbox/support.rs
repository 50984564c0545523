//! Guests, messages and stages for the tests of the sandbox.

use std::{
    future::Future,
    path::PathBuf,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use wasmilter_message::{
    deadline::Deadline,
    decision::Decision,
    eml,
    envelope::{Envelope, Mailbox},
    failure::Failure,
    grants::Grants,
    message::{ParsedMessage, ReceivedMessage, Transaction},
    policy::Policy,
};
use wasmilter_wasm::{
    Component, Isolation, Limits, Outside, Plugin, PrepareError, Sandbox, SandboxSettings, StageSettings,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A sandbox; compiled code is kept from test to test.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(&settings()).unwrap()
}

/// Its settings.
pub(crate) fn settings() -> SandboxSettings {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    SandboxSettings { slots: 16, cache: Some(cache), ..SandboxSettings::default() }
}

/// Where the file of a guest is.
pub(crate) fn guest_path(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
    path
}

/// A guest, loaded.
pub(crate) fn guest(sandbox: &Sandbox, name: &str) -> Component {
    sandbox.load(&guest_path(name)).unwrap()
}

/// Settings of a stage: everything by default but the configuration, and what the guests look at.
pub(crate) fn stage(config: &serde_json::Value) -> StageSettings {
    StageSettings {
        stage: "test".into(),
        config: config.to_string(),
        grants: Grants { envelope: true, headers: true, ..Grants::default() },
        limits: Limits::default(),
        isolation: Isolation::Message,
    }
}

/// A guest, ready to judge.
pub(crate) fn plugin(sandbox: &Sandbox, name: &str, config: &serde_json::Value) -> Plugin {
    prepare(sandbox, name, stage(config)).unwrap()
}

/// A guest, configured, or why not.
pub(crate) fn prepare(sandbox: &Sandbox, name: &str, settings: StageSettings) -> Result<Plugin, PrepareError> {
    sandbox.prepare(&guest(sandbox, name), settings, &Outside::nothing())
}

/// A small message with that subject.
pub(crate) fn message(subject: &str) -> Arc<ParsedMessage> {
    parsed(&format!("From: a@example.org\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\nHello\r\n"))
}

/// A message from its text.
pub(crate) fn parsed(text: &str) -> Arc<ParsedMessage> {
    let (headers, body) = eml::read(text.as_bytes());
    let transaction = Transaction {
        id: "message-1".into(),
        envelope: Envelope {
            sender: Mailbox::new("<a@example.org>"),
            recipients: vec![Mailbox::new("<b@example.org>")],
            queue_id: None,
        },
        ..Transaction::default()
    };
    Arc::new(ParsedMessage::new(ReceivedMessage { transaction, headers, body }))
}

/// Has a plugin judge a message, with plenty of time.
pub(crate) async fn decide(plugin: &Plugin, message: Arc<ParsedMessage>) -> Result<Decision, Failure> {
    plugin.decide(message, Deadline::after(Duration::from_secs(20))).await.outcome
}

/// The same with that much time; and how long it took.
pub(crate) async fn decide_within(
    plugin: &Plugin,
    message: Arc<ParsedMessage>,
    limit: Duration,
) -> (Result<Decision, Failure>, Duration) {
    let start = Instant::now();
    let decision = plugin.decide(message, Deadline::after(limit)).await.outcome;
    (decision, start.elapsed())
}

/// A component from the text of a module and the world that it implements (the first of `world`), for what no compiler
/// would make.
pub(crate) fn encoded(world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let package = resolve.push_str("guest.wit", world).unwrap();
    let (_, world) = resolve.packages[package].worlds.first().unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, *world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// Time that this thread has had a processor, which does not depend on what else the machine does.
pub(crate) fn worked() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
}

/// Drives all of them on this thread, one turn each.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
