//! DNS and the store: what was granted answers, within the limits of calls, sizes and time.

use crate::support::{decide, guest, message, prepare, sandbox, stage};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use wasmilter_message::{
    deadline::Deadline,
    dns::{Dns, DnsError, MailExchanger},
    facts::{Fact, Value as FactValue},
    judge::BoxFuture,
    store::{Store, StoreError},
};
use wasmilter_wasm::{Limits, Outside, PrepareError};

/// Answers with what it was asked.
struct Zone;

impl Dns for Zone {
    fn addresses<'a>(&'a self, name: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { Ok(vec![format!("A of {name}")]) })
    }

    fn texts<'a>(&'a self, name: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { if name == "slow" { Err(DnsError::TimedOut) } else { Ok(Vec::new()) } })
    }

    fn mail_exchangers<'a>(
        &'a self,
        name: &'a str,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Vec<MailExchanger>, DnsError>> {
        Box::pin(async move { Ok(vec![MailExchanger { preference: 65_535, host: name.to_owned() }]) })
    }

    fn names<'a>(&'a self, address: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move { Err(DnsError::Failed(format!("{address} is\r\nno address"))) })
    }
}

/// Keeps values and counters by space and key, for ever.
#[derive(Default)]
struct Kept {
    values: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    counters: Mutex<BTreeMap<(String, String), u32>>,
}

impl Store for Kept {
    fn get<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move { Ok(self.values.lock().unwrap().get(&(space.into(), key.into())).cloned()) })
    }

    fn set<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        value: &'a [u8],
        _: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.values.lock().unwrap().insert((space.into(), key.into()), value.to_vec());
            Ok(())
        })
    }

    fn remove<'a>(&'a self, space: &'a str, key: &'a str, _: Deadline) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.values.lock().unwrap().remove(&(space.into(), key.into()));
            Ok(())
        })
    }

    fn add<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        amount: u32,
        _: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut counters = self.counters.lock().unwrap();
            let counter = counters.entry((space.into(), key.into())).or_default();
            *counter += amount;
            Ok(*counter)
        })
    }
}

/// Asks from the stage `test`, with limits of three questions and three calls of the store.
async fn asks(store: &str, outside: &Outside, config: Value) -> String {
    let sandbox = sandbox();
    let mut settings = stage(&config);
    settings.grants.add("dns").unwrap();
    settings.grants.add(store).unwrap();
    settings.limits = Limits { dns_queries: 3, store_calls: 3, ..Limits::default() };
    let plugin = sandbox.prepare(&guest(&sandbox, "asker"), settings, outside).unwrap();
    let decision = decide(&plugin, message("x")).await.unwrap();
    match decision.facts.into_iter().next() {
        Some(Fact { value: FactValue::Text(answer), .. }) => answer,
        other => panic!("{other:?}"),
    }
}

fn outside() -> Outside {
    Outside { dns: Arc::new(Zone), store: Arc::new(Kept::default()), ..Outside::nothing() }
}

#[tokio::test]
async fn names_are_looked_up_so_often() {
    let outside = outside();
    let ask = |config| asks("store", &outside, config);
    assert_eq!(ask(json!({"ask": ["dns", "addresses", "a.example"], "repeat": 3})).await, r#"Ok(["A of a.example"])"#);
    let limit = ask(json!({"ask": ["dns", "addresses", "a.example"], "repeat": 4})).await;
    assert!(limit.contains("Limit") && limit.contains("3 questions"), "{limit}");
    assert_eq!(ask(json!({"ask": ["dns", "texts", "a.example"]})).await, "Ok([])");
    assert!(ask(json!({"ask": ["dns", "texts", "slow"]})).await.contains("TimedOut"));
    let found = ask(json!({"ask": ["dns", "mail-exchangers", "mx.example"]})).await;
    assert!(found.contains("65535") && found.contains("mx.example"), "{found}");
    let failed = ask(json!({"ask": ["dns", "names", "x"]})).await;
    assert!(failed.contains("Failed") && !failed.contains("\\n"), "{failed}");
    assert!(ask(json!({"ask": ["dns", "addresses", "x"], "key": 1024})).await.contains("Ok"));
    assert!(ask(json!({"ask": ["dns", "addresses", "x"], "key": 1025})).await.contains("Failed"));
}

#[tokio::test]
async fn a_store_keeps_its_own_and_shares_what_is_shared() {
    let outside = outside();
    let set = json!({"ask": ["store", "set", "k", "hello", "60"]});
    let get = json!({"ask": ["store", "get", "k"]});
    assert_eq!(asks("store", &outside, set.clone()).await, "Ok(())");
    assert_eq!(asks("store", &outside, get.clone()).await, "Ok(Some([104, 101, 108, 108, 111]))");
    assert_eq!(asks("store:test", &outside, get.clone()).await, "Ok(None)", "a shared store of the stage's name");
    assert_eq!(asks("store:test", &outside, set).await, "Ok(())");
    assert_eq!(asks("store", &outside, json!({"ask": ["store", "remove", "k"]})).await, "Ok(())");
    assert_eq!(asks("store", &outside, get.clone()).await, "Ok(None)");
    assert!(asks("store:test", &outside, get).await.starts_with("Ok(Some"));
    let add = json!({"ask": ["store", "add", "k", "2", "60"]});
    assert_eq!(asks("store", &outside, add.clone()).await, "Ok(2)");
    assert_eq!(asks("store", &outside, add).await, "Ok(4)");
}

#[tokio::test]
async fn calls_of_the_store_are_limited() {
    let outside = outside();
    let ask = |config| asks("store", &outside, config);
    for (config, limit) in [
        (json!({"ask": ["store", "get", "k"], "repeat": 3}), None),
        (json!({"ask": ["store", "get", "k"], "repeat": 4}), Some("3 calls")),
        (json!({"ask": ["store", "set", "k", "v", "60"], "key": 512}), None),
        (json!({"ask": ["store", "set", "k", "v", "60"], "key": 513}), Some("key of 513 bytes")),
        (json!({"ask": ["store", "get", "k"], "key": 513}), Some("key")),
        (json!({"ask": ["store", "remove", "k"], "key": 513}), Some("key")),
        (json!({"ask": ["store", "add", "k", "1", "60"], "key": 513}), Some("key")),
        (json!({"ask": ["store", "set", "k", "v", "60"], "value": 65_536}), None),
        (json!({"ask": ["store", "set", "k", "v", "60"], "value": 65_537}), Some("value of 65537 bytes")),
        (json!({"ask": ["store", "set", "k", "v", "1"]}), None),
        (json!({"ask": ["store", "set", "k", "v", "0"]}), Some("lifetime of 0 seconds")),
        (json!({"ask": ["store", "set", "k", "v", "31622400"]}), None),
        (json!({"ask": ["store", "set", "k", "v", "31622401"]}), Some("lifetime")),
        (json!({"ask": ["store", "add", "k", "1", "0"]}), Some("lifetime")),
        // Nothing is made, so nothing lives.
        (json!({"ask": ["store", "add", "k", "0", "0"]}), None),
    ] {
        let answer = ask(config.clone()).await;
        match limit {
            None => assert!(answer.starts_with("Ok"), "{config}: {answer}"),
            Some(limit) => assert!(answer.contains("Limit") && answer.contains(limit), "{config}: {answer}"),
        }
    }
}

#[tokio::test]
async fn where_nothing_is_configured_the_plugin_is_told() {
    let nothing = Outside::nothing();
    assert!(asks("store", &nothing, json!({"ask": ["dns", "texts", "x"]})).await.contains("no resolver"));
    assert!(asks("store", &nothing, json!({"ask": ["store", "get", "x"]})).await.contains("no store"));
}

#[test]
fn without_the_grants_it_is_refused() {
    let error = prepare(&sandbox(), "asker", stage(&json!({}))).unwrap_err();
    assert!(matches!(error, PrepareError::MissingGrants(missing) if missing == ["dns", "store"]));
}

#[tokio::test]
async fn the_time_of_day_is_the_one_that_is_given() {
    let clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    let outside = Outside { clock, ..Outside::nothing() };
    let mut settings = stage(&json!({}));
    ["body", "clock", "random"].iter().try_for_each(|grant| settings.grants.add(grant)).unwrap();
    let sandbox = sandbox();
    let plugin = sandbox.prepare(&guest(&sandbox, "ungranted-import"), settings, &outside).unwrap();
    let decision = decide(&plugin, message("x")).await.unwrap();
    let now = decision.facts.iter().find(|fact| fact.name == "now").unwrap();
    assert_eq!(now.value, FactValue::Number(86_400.0));
}
