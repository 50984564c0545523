//! What a guest must not ask for, and what it must not reach.

use crate::support::{decide, guest, message, plugin, prepare, sandbox, stage};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use wasmilter_message::{
    apply::{ApplyError, apply},
    body::InMemory,
    deadline::Deadline,
    decision::HookVerdict,
    envelope::Mailbox,
    facts::Value,
    failure::Cause,
    grants::Grants,
    judge::Hook,
    policy::Policy,
};
use wasmilter_wasm::{Outside, PrepareError};

#[tokio::test]
async fn forged_decisions_are_refused_before_anything_is_applied() {
    let sandbox = sandbox();
    let component = guest(&sandbox, "forged-edits");
    for forge in [
        "crlf",
        "lf",
        "empty-line",
        "nul",
        "name-colon",
        "name-space",
        "name-empty",
        "occurrence",
        "part",
        "blob",
        "file-name",
        "media-type",
        "recipient",
        "address",
        "client",
        "client-address",
        "client-port",
        "reply-code",
        "reply-big",
        "reply-class",
        "reply-text",
        "reason",
        "fact-name",
        "fact-stage",
        "nan",
        "infinite",
    ] {
        let mut settings = stage(&json!({"forge": forge}));
        settings.grants.add("body").unwrap();
        let plugin = sandbox.prepare(&component, settings.clone(), &Outside::nothing()).unwrap();
        let bad = message("bad");
        match decide(&plugin, Arc::clone(&bad)).await {
            Err(failure) => assert_eq!(failure.cause, Cause::Refused, "{forge}: {failure}"),
            Ok(decision) => {
                let applied = apply(&bad, &decision.edits, settings.grants.edits(), &InMemory);
                assert!(matches!(applied, Err(ApplyError::Refused { .. })), "{forge} was applied");
            }
        }
        let good = message("good");
        let decision = decide(&plugin, Arc::clone(&good)).await.unwrap();
        apply(&good, &decision.edits, settings.grants.edits(), &InMemory).unwrap();
    }
}

#[tokio::test]
async fn what_was_not_granted_is_not_linked() {
    let sandbox = sandbox();
    let name = "ungranted-import";
    let mut needed = guest(&sandbox, name).inspection().needs_grants.clone();
    needed.sort();
    assert_eq!(needed, ["clock", "random", "raw", "text or attachments"]);
    let mut settings = stage(&json!({}));
    settings.grants = Grants::default();
    let error = prepare(&sandbox, name, settings.clone()).unwrap_err();
    let PrepareError::MissingGrants(missing) = &error else { panic!("{error:?}") };
    assert_eq!(*missing, guest(&sandbox, name).inspection().needs_grants);
    assert_eq!(
        error.with_missing(&settings.grants).map(|grants| grants.names()),
        Some(["text", "attachments", "raw", "clock", "random"].map(str::to_owned).to_vec())
    );
    settings.grants = Grants { attachments: true, raw: true, clock: true, ..Grants::default() };
    assert!(
        matches!(prepare(&sandbox, name, settings.clone()), Err(PrepareError::MissingGrants(m)) if m == ["random"])
    );
    settings.grants.random = true;
    let plugin = prepare(&sandbox, name, settings).unwrap();
    assert!(plugin.needs().body);
    let decision = decide(&plugin, message("good")).await.unwrap();
    let size = decision.facts.iter().find(|fact| fact.name == "size").unwrap();
    assert_eq!(size.value, Value::Number(message("good").size() as f64));
}

#[tokio::test]
async fn a_service_that_was_not_granted_is_denied() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "caller", &json!({}));
    let decision = decide(&plugin, message("good")).await.unwrap();
    assert_eq!(decision.facts[0].name, "error");
    assert!(matches!(&decision.facts[0].value, Value::Text(error) if error.contains("Denied")));
}

#[tokio::test]
async fn hooks_answer_and_are_bounded() {
    let sandbox = sandbox();
    let config = json!({
        "helo": {"verdict": "loop"},
        "mail": {"when": "a@", "verdict": "reject", "code": 554, "enhanced": "5.7.1", "text": "go away"},
        "rcpt": {"when": "blocked", "verdict": "tempfail"},
    });
    let plugin = plugin(&sandbox, "hooks", &config);
    let needs = plugin.needs();
    assert!(needs.connect && needs.helo && needs.mail && needs.rcpt && needs.message && !needs.body);
    let plugin = &plugin;
    let ask = |hook, limit| async move {
        plugin.hook(hook, message("x"), Deadline::after(Duration::from_millis(limit))).await.outcome
    };
    let connect = ask(Hook::Connect, 5000).await.unwrap();
    assert_eq!(connect.verdict, HookVerdict::Next);
    assert_eq!(connect.facts[0].name, "connect");
    assert_eq!(ask(Hook::Helo, 100).await.unwrap_err().cause, Cause::Timeout);
    let HookVerdict::Reject(reply) = ask(Hook::Mail, 5000).await.unwrap().verdict else { panic!("let through") };
    assert_eq!((reply.code, reply.text.as_str()), (554, "go away"));
    let recipient = |address: &str| Hook::Rcpt(Mailbox::new(address));
    assert!(matches!(ask(recipient("<blocked@x>"), 5000).await.unwrap().verdict, HookVerdict::Tempfail(_)));
    assert_eq!(ask(recipient("<open@x>"), 5000).await.unwrap().verdict, HookVerdict::Next);
}
