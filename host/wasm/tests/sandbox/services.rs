//! Services: what was granted answers, within the limits of streams, bytes and time.

use crate::support::{decide, decide_within, guest, message, sandbox, stage};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use wasmilter_message::{
    deadline::Deadline,
    facts::{Fact, Value as FactValue},
    failure::Cause,
    judge::BoxFuture,
    service::{Connection, ServiceError, Services},
};
use wasmilter_wasm::{Limits, Outside, Plugin};

/// `echo` gives back what it was sent, `silent` never answers.
struct TwoServices;

impl Services for TwoServices {
    fn open<'a>(
        &'a self,
        service: &'a str,
        _deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, ServiceError>> {
        let echo = Echo { sent: Vec::new(), silent: service == "silent" };
        Box::pin(async move { Ok(Box::new(echo) as Box<dyn Connection>) })
    }
}

struct Echo {
    sent: Vec<u8>,
    silent: bool,
}

impl Connection for Echo {
    fn write<'a>(&'a mut self, bytes: &'a [u8], _deadline: Deadline) -> BoxFuture<'a, Result<(), ServiceError>> {
        self.sent.extend_from_slice(bytes);
        Box::pin(async { Ok(()) })
    }

    fn finish(&mut self, _deadline: Deadline) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async { Ok(()) })
    }

    fn read(&mut self, max: usize, _deadline: Deadline) -> BoxFuture<'_, Result<Bytes, ServiceError>> {
        Box::pin(async move {
            if self.silent {
                std::future::pending::<()>().await;
            }
            let rest = self.sent.split_off(max.min(self.sent.len()));
            Ok(std::mem::replace(&mut self.sent, rest).into())
        })
    }
}

fn caller(config: &Value) -> Plugin {
    let sandbox = sandbox();
    let mut settings = stage(config);
    settings.grants.add("service:echo").unwrap();
    settings.grants.add("service:silent").unwrap();
    settings.limits = Limits { open_streams: 2, service_bytes: 1000, ..Limits::default() };
    let outside = Outside { services: Arc::new(TwoServices), ..Outside::nothing() };
    sandbox.prepare(&guest(&sandbox, "caller"), settings, &outside).unwrap()
}

async fn says(config: Value) -> (String, String) {
    let decision = decide(&caller(&config), message("x")).await.unwrap();
    match decision.facts.into_iter().next() {
        Some(Fact { name, value: FactValue::Text(text) }) => (name, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_granted_service_answers_within_its_limits() {
    assert_eq!(says(json!({"send": "hello"})).await, ("answer".to_owned(), "hello".to_owned()));
    assert_eq!(says(json!({"streams": 2})).await.0, "answer");
    let (name, error) = says(json!({"streams": 3})).await;
    assert!(name == "error" && error.contains("2 open streams"), "{error}");
    // Every byte goes there and back.
    assert_eq!(says(json!({"send": "0123456789", "repeat": 50})).await.0, "answer");
    let (name, error) = says(json!({"send": "0123456789", "repeat": 51})).await;
    assert!(name == "error" && error.contains("1000 bytes"), "{error}");
    let (name, error) = says(json!({"service": "other"})).await;
    assert!(name == "error" && error.contains("Denied"), "{error}");
}

#[tokio::test]
async fn waiting_for_a_service_ends_with_the_deadline() {
    let plugin = caller(&json!({"service": "silent"}));
    let (outcome, took) = decide_within(&plugin, message("x"), Duration::from_millis(100)).await;
    assert_eq!(outcome.unwrap_err().cause, Cause::Timeout);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
