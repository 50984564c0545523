//! Guests, messages and stages for the tests of the sandbox.

use std::{
    path::PathBuf,
    sync::Arc,
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

/// A sandbox without a cache.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(&SandboxSettings { slots: 16, ..SandboxSettings::default() }).unwrap()
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
    plugin.decide(message, Deadline::after(Duration::from_secs(20))).await
}

/// The same with that much time; and how long it took.
pub(crate) async fn decide_within(
    plugin: &Plugin,
    message: Arc<ParsedMessage>,
    limit: Duration,
) -> (Result<Decision, Failure>, Duration) {
    let start = Instant::now();
    let decision = plugin.decide(message, Deadline::after(limit)).await;
    (decision, start.elapsed())
}
