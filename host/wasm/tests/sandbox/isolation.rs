//! What an instance remembers: of `configure` everything, of another message nothing, unless it is a worker.

use crate::support::{decide, guest, message, plugin, sandbox, stage};
use serde_json::{Value, json};
use std::time::Duration;
use wasmilter_message::{decision::Decision, facts::Value as Fact};
use wasmilter_wasm::{Isolation, Outside, PrepareError, Sandbox, SandboxSettings, StartedFrom};

fn number(decision: &Decision, name: &str) -> f64 {
    match decision.facts.iter().find(|fact| fact.name == name).map(|fact| &fact.value) {
        Some(Fact::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

fn configured(sandbox: &Sandbox, config: &Value) -> Result<wasmilter_wasm::Plugin, PrepareError> {
    sandbox.prepare(&guest(sandbox, "failing-configure"), stage(config), &Outside::nothing())
}

#[tokio::test]
async fn a_snapshot_keeps_what_configure_computed_and_forgets_messages() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "leaky", &json!({"numbers": [1, 2, 39]}));
    assert_eq!(plugin.started_from(), StartedFrom::Snapshot);
    for _ in 0..3 {
        let decision = decide(&plugin, message("good")).await.unwrap();
        assert!((number(&decision, "sum") - 42.0).abs() < f64::EPSILON);
        assert!((number(&decision, "count") - 1.0).abs() < f64::EPSILON, "an earlier message left something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_sees_another_however_many_there_are_at_once() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "leaky", &json!({"numbers": [1, 2, 39]}));
    for _ in 0..20 {
        // As many as there are slots, so that slots are used again, by four threads at once; some of them fail.
        let calls = (0..16).map(|number| {
            let plugin = plugin.clone();
            tokio::spawn(async move {
                let subject = if number % 5 == 0 { "bad" } else { "good" };
                (subject, decide(&plugin, message(subject)).await)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            match call.await.unwrap() {
                ("good", decision) => {
                    let decision = decision.unwrap();
                    assert!((number(&decision, "sum") - 42.0).abs() < f64::EPSILON);
                    assert!((number(&decision, "count") - 1.0).abs() < f64::EPSILON, "another message left something");
                }
                (_, decision) => drop(decision.unwrap_err()),
            }
        }
    }
}

#[tokio::test]
async fn a_worker_is_reused_so_often_and_dropped_after_a_failure() {
    let sandbox = sandbox();
    let mut settings = stage(&json!({"numbers": [1]}));
    settings.isolation = Isolation::Worker { messages: 3 };
    let plugin = sandbox.prepare(&guest(&sandbox, "leaky"), settings, &Outside::nothing()).unwrap();
    assert_eq!(plugin.started_from(), StartedFrom::Worker);
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(number(&decide(&plugin, message("good")).await.unwrap(), "count"));
    }
    assert_eq!(counts, [1.0, 2.0, 3.0, 1.0]);
    decide(&plugin, message("bad")).await.unwrap_err();
    let after = number(&decide(&plugin, message("good")).await.unwrap(), "count");
    assert!((after - 1.0).abs() < f64::EPSILON, "the worker that failed was reused");
}

#[tokio::test]
async fn two_calls_never_share_a_worker() {
    let sandbox = sandbox();
    let mut settings = stage(&json!({"milliseconds": 50}));
    settings.isolation = Isolation::Worker { messages: 100 };
    settings.grants.clock = true;
    let plugin = sandbox.prepare(&guest(&sandbox, "slow"), settings, &Outside::nothing()).unwrap();
    for _ in 0..3 {
        let (one, other) = tokio::join!(decide(&plugin, message("a")), decide(&plugin, message("b")));
        one.unwrap();
        other.unwrap();
    }
}

#[tokio::test]
async fn a_configure_that_calls_the_host_is_repeated_for_every_message() {
    let sandbox = sandbox();
    let plugin = configured(&sandbox, &json!({"call": true})).unwrap();
    assert_eq!(plugin.started_from(), StartedFrom::Prepared);
    assert!(plugin.no_snapshot().unwrap().contains("called an import"));
    for _ in 0..2 {
        let decision = decide(&plugin, message("good")).await.unwrap();
        assert!((number(&decision, "configured") - 1.0).abs() < f64::EPSILON);
    }
    let plugin = configured(&sandbox, &json!({})).unwrap();
    assert_eq!((plugin.started_from(), plugin.no_snapshot()), (StartedFrom::Snapshot, None));
    assert!((number(&decide(&plugin, message("good")).await.unwrap(), "configured") - 1.0).abs() < f64::EPSILON);
}

/// Waits until so many instances wait.
async fn waiting(plugin: &wasmilter_wasm::Plugin, count: usize) {
    let filled = async {
        while plugin.waiting() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), filled).await;
    assert!(outcome.is_ok(), "{} instances wait, not {count}", plugin.waiting());
}

#[tokio::test]
async fn instances_that_are_configured_ahead_are_used_once_and_replaced() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "leaky", &json!({"numbers": [1, 2, 39], "call": true}));
    assert_eq!(plugin.started_from(), StartedFrom::Prepared);
    assert!((1..=8).contains(&plugin.waiting()), "{} wait after loading", plugin.waiting());
    for round in 0..30 {
        // More at a time than are ready: those that come too late start their own.
        let subject = move |number: u32| if (number + round).is_multiple_of(7) { "bad" } else { "good" };
        let calls = (0..12).map(|number| {
            let plugin = plugin.clone();
            async move { (subject(number), decide(&plugin, message(subject(number))).await) }
        });
        for call in calls.map(tokio::spawn).collect::<Vec<_>>() {
            let (subject, decision) = call.await.unwrap();
            assert_eq!(subject == "good", decision.is_ok(), "{decision:?}");
            if let Ok(decision) = decision {
                assert!((number(&decision, "sum") - 42.0).abs() < f64::EPSILON);
                assert!((number(&decision, "count") - 1.0).abs() < f64::EPSILON, "another message left something");
            }
        }
        if round % 10 == 0 {
            waiting(&plugin, 8).await;
        }
    }
}

#[tokio::test]
async fn configuring_ahead_takes_nothing_from_a_message() {
    let sandbox = sandbox();
    let mut settings = stage(&json!({"call": true, "spin": 2_000_000_000_u32}));
    // Longer than a message may compute: only an instance that is ready can judge one.
    settings.limits.cpu = Duration::from_millis(20);
    let plugin = sandbox.prepare(&guest(&sandbox, "leaky"), settings, &Outside::nothing()).unwrap();
    assert_eq!(plugin.started_from(), StartedFrom::Prepared);
    assert_eq!(plugin.waiting(), 1, "one more would have taken too long");
    decide(&plugin, message("good")).await.unwrap();
    let failure = decide(&plugin, message("good")).await.unwrap_err();
    assert_eq!(failure.cause, wasmilter_message::failure::Cause::Cpu, "{failure}");
    waiting(&plugin, 1).await;
    decide(&plugin, message("good")).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_is_gone_leaves_no_instance_behind() {
    let sandbox = wasmilter_wasm::Sandbox::new(&SandboxSettings { slots: 8, ..crate::support::settings() }).unwrap();
    for _ in 0..5 {
        let plugin = plugin(&sandbox, "leaky", &json!({"call": true}));
        // All the room there is; the next plugin finds it free again.
        waiting(&plugin, 8).await;
        decide(&plugin, message("good")).await.unwrap();
        waiting(&plugin, 8).await;
    }
    let (first, second) =
        (plugin(&sandbox, "leaky", &json!({"call": true})), { plugin(&sandbox, "leaky", &json!({"call": true})) });
    waiting(&first, 8).await;
    assert_eq!((second.started_from(), second.waiting()), (StartedFrom::Plain, 0));
    decide(&second, message("good")).await.unwrap();
}

#[test]
fn all_problems_of_a_configuration_are_reported() {
    let Err(PrepareError::Config(problems)) = configured(&sandbox(), &json!({"problems": 3})) else {
        panic!("accepted");
    };
    let problems: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.message.as_str())).collect();
    let expected = [("/problem/1", "must not be 1"), ("/problem/2", "must not be 2"), ("/problem/3", "must not be 3")];
    assert_eq!(problems, expected);
}

#[test]
fn a_configure_that_traps_is_no_plugin() {
    let error = configured(&sandbox(), &json!({"trap": true})).unwrap_err();
    assert!(matches!(error, PrepareError::Configure(_)), "{error}");
}

#[tokio::test]
async fn any_text_reaches_configure_unchanged() {
    let sandbox = sandbox();
    let text = "quotes \" and \\ and \u{7f} and \n\r\t and ü 🦀 \u{2028} and {x} and \u{0}";
    let plugin = plugin(&sandbox, "scripted", &json!({"facts": {"text": text}}));
    let decision = decide(&plugin, message("good")).await.unwrap();
    assert_eq!(decision.facts[0].value, Fact::Text(text.to_owned()));
}
