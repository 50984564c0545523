//! Reading parts of a message: each call with its grant, and without.

use crate::support::{decide, guest, parsed, prepare, sandbox, stage};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};
use wasmilter_message::{facts::Value, failure::Cause, grants::Grants, policy::Policy};
use wasmilter_wasm::{Plugin, Sandbox};

/// 0 the frame, 1 text, 2 a file, 3 a forwarded message, 4 its frame, 5 its text.
const MESSAGE: &str = "From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
    --b\r\nContent-Type: application/pdf\r\n\r\nfile\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
    --c\r\n\r\nforwarded\r\n--c--\r\n\
    --b--\r\n";

fn granted(names: &[&str]) -> Grants {
    let mut grants = Grants::default();
    names.iter().try_for_each(|name| grants.add(name)).unwrap();
    grants
}

/// The guest with these grants.
fn reader(sandbox: &Sandbox, names: &[&str]) -> Plugin {
    let mut settings = stage(&json!({}));
    settings.grants = granted(names);
    prepare(sandbox, "reader", settings).unwrap()
}

/// How much the guest got, or why the call ended.
async fn reads(plugin: &Plugin, read: &str, part: u32) -> Result<f64, (Cause, String)> {
    let mut message = Arc::unwrap_or_clone(parsed(MESSAGE));
    Arc::make_mut(&mut message.client).helo = Some(format!("{read} {part}"));
    match decide(plugin, Arc::new(message)).await {
        Ok(decision) => match decision.facts[0].value {
            Value::Number(got) => Ok(got),
            ref other => panic!("{other:?}"),
        },
        Err(failure) => Err((failure.cause, failure.detail)),
    }
}

#[tokio::test]
async fn every_read_needs_the_grant_of_what_it_reads() {
    const ALL: [&str; 4] = ["headers", "text", "attachments", "raw"];
    let sandbox = sandbox();
    let everything = reader(&sandbox, &ALL);
    let mut with_and_without = BTreeMap::new();
    for grant in ALL {
        let others: Vec<&str> = ALL.into_iter().filter(|name| *name != grant).collect();
        // With that one alone, and one that opens the interface.
        let only = if matches!(grant, "headers" | "raw") { vec!["text", grant] } else { vec![grant] };
        with_and_without.insert(grant, (reader(&sandbox, &only), reader(&sandbox, &others)));
    }
    for (read, part, needed) in [
        ("all", 0, None),
        ("header-fields", 0, Some("headers")),
        ("header-fields", 1, Some("text")),
        ("header-fields", 2, Some("attachments")),
        ("header-fields", 4, Some("attachments")),
        ("size", 0, None),
        ("size", 1, Some("text")),
        ("size", 2, Some("attachments")),
        ("content", 1, Some("text")),
        ("content", 2, Some("attachments")),
        ("content", 5, Some("attachments")),
        ("text", 1, Some("text")),
        ("text", 2, Some("attachments")),
        ("text", 5, Some("attachments")),
        ("entity", 1, Some("raw")),
        ("entity", 0, Some("raw")),
        ("append-entity", 2, Some("raw")),
    ] {
        reads(&everything, read, part).await.unwrap();
        let Some(needed) = needed else { continue };
        let (with, without) = &with_and_without[needed];
        let got = reads(with, read, part).await;
        assert!(got.clone().is_ok_and(|got| got > 0.0), "{read} {part} with {needed}: {got:?}");
        let (cause, detail) = reads(without, read, part).await.unwrap_err();
        assert_eq!(cause, Cause::Refused, "{read} {part}: {detail}");
        assert!(detail.contains(&format!("needs the grant {needed:?}")), "{read} {part}: {detail}");
    }
    // Whatever was granted.
    for plugin in [&everything, &with_and_without["text"].0] {
        for read in ["header-fields", "size", "content", "text", "entity", "append-entity"] {
            assert_eq!(reads(plugin, read, 9).await.unwrap_err().0, Cause::Trap, "{read} of no part");
        }
    }
}

#[test]
fn the_mta_is_asked_only_for_what_was_granted() {
    let sandbox = sandbox();
    for (grants, headers, body) in [
        (vec!["headers"], true, false),
        (vec!["headers", "recipients"], true, false),
        (vec!["headers", "text"], true, true),
        (vec!["headers", "attachments"], true, true),
        (vec!["headers", "raw"], true, true),
    ] {
        let mut settings = stage(&json!({}));
        settings.grants = granted(&grants);
        let needs = prepare(&sandbox, "noop", settings).unwrap().needs();
        assert_eq!((needs.message, needs.headers, needs.body), (true, headers, body), "{grants:?}");
    }
    let inspection = guest(&sandbox, "reader").inspection().clone();
    assert_eq!(inspection.needs_grants, ["text or attachments"]);
    assert!(inspection.phases.headers && inspection.phases.body);
}
