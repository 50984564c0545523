//! `examples/monitoring`: alerts and dashboard against a real Prometheus that scrapes a host under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Stdio},
};
use wasmilter_tests::{
    corpus,
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    prometheus::Prometheus,
    scratch::Scratch,
    script::{scripted, stage},
    server,
    wasmilter::{Wasmilter, binary},
};

fn example(file: &str) -> PathBuf {
    corpus::repository().join("examples/monitoring").join(file)
}

#[test]
fn promtool_is_content_with_configuration_and_alerts() {
    for arguments in
        [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]]
    {
        server::run(Command::new("promtool").args(arguments).current_dir(example("")));
    }
}

#[test]
fn every_expression_has_data_when_a_real_prometheus_scrapes_a_host() {
    let scratch = Scratch::new("monitoring");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let edits = json!({ "edits": [{ "add-header": { "name": "X-Seen", "value": "yes" } }] });
    let config = [
        "[services.clamd]\naddress = \"127.0.0.1:1\"\n".to_owned(),
        scripted("mark", "", &edits),
        stage("trap", "trap", "grants = [\"headers\"]\non_failure = \"skip\"", &json!({ "how": "unreachable" })),
    ]
    .concat();
    let host = Wasmilter::start_at(&address, &config);
    let prometheus = Prometheus::start(&example("prometheus.yml"), host.admin());
    prometheus.wait_for("wasmilter_messages_total");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut mta = FakeMta::connect(&address, Flavour::Postfix, Offer::V6).await.unwrap();
        mta.greet("192.0.2.1").await.unwrap();
        for number in 0..50 {
            let subject = if number % 5 == 0 { " bad" } else { " good" };
            mta.send(&Mail::new(&[("Subject", subject)], "hello\r\n")).await.unwrap();
        }
    });
    prometheus.wait_for("sum(increase(wasmilter_messages_total[30s])) > 10");
    prometheus.wait_for("sum(increase(wasmilter_stage_failures_total[30s])) > 1");

    let mut silent = Vec::new();
    for expression in dashboard() {
        let concrete = expression.replace("$__rate_interval", "30s").replace("$instance", ".*");
        if prometheus.evaluate(&concrete).is_empty() {
            silent.push(expression);
        }
    }
    assert!(silent.is_empty(), "no data for {silent:#?}");

    // An alert without data is silent for ever: what it looks at has to exist, and it has to be a valid expression.
    let alerts = server::run(Command::new("promtool").args(["check", "rules"]).arg(example("alerts.yml")));
    assert!(alerts.contains("SUCCESS"), "{alerts}");
    let text = std::fs::read_to_string(example("alerts.yml")).unwrap();
    let looked_at = metrics_in(&text);
    assert!(looked_at.len() > 10, "{looked_at:?}");
    for metric in looked_at {
        assert!(!prometheus.evaluate(&metric).is_empty(), "no data for {metric}, of which an alert speaks");
    }
    let stages = prometheus.evaluate("wasmilter_stage_info");
    assert_eq!(stages.len(), 2, "{stages:?}");
    host.stop();
}

#[test]
fn top_shows_what_a_stage_does_and_why_it_fails() {
    let scratch = Scratch::new("monitoring");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let trap = stage("trap", "trap", "grants = [\"headers\"]\non_failure = \"skip\"", &json!({ "how": "unreachable" }));
    let host = Wasmilter::start_at(&address, &trap);
    let admin = host.admin().to_string();
    let top = |more: &'static [&'static str]| {
        let arguments = [&["top", "--once", "--every", "2s", "--admin", &admin][..], more].concat();
        Command::new(binary()).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let looking = [top(&[]), top(&["--json"])];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let [table, object] = runtime.block_on(async {
        let mut mta = FakeMta::connect(&address, Flavour::Postfix, Offer::V6).await.unwrap();
        mta.greet("192.0.2.1").await.unwrap();
        // While both are between their looks there is mail.
        let mut looking = looking;
        while looking.iter_mut().any(|top| top.try_wait().unwrap().is_none()) {
            mta.send(&Mail::new(&[("Subject", " bad")], "hello\r\n")).await.unwrap();
            mta.send(&Mail::new(&[("Subject", " good")], "hello\r\n")).await.unwrap();
        }
        looking.map(|top| String::from_utf8(top.wait_with_output().unwrap().stdout).unwrap())
    });
    let row = table.lines().find(|line| line.starts_with("trap ")).unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains("fails: trap"), "{table}");
    assert!(table.contains("verdicts accept "), "{table}");
    let object: Value = serde_json::from_str(&object).unwrap();
    let shown = &object["stages"][0];
    assert_eq!(shown["most_frequent_failure"], "trap", "{object}");
    assert!(shown["calls_per_second"].as_f64().unwrap() > 0.5, "{object}");
    assert!(shown["p99_seconds"].as_f64().unwrap() > 0.0, "{object}");
    assert!(shown["processors"].as_f64().unwrap() > 0.0, "{object}");
    host.stop();
}

#[test]
fn top_says_why_it_can_not_look() {
    let output = Command::new(binary()).args(["top", "--once", "--admin", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("asking the daemon at 127.0.0.1:1"), "{complaint}");
}

/// All expressions of all panels.
fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(example("grafana/dashboards/wasmilter.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let all: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(all.len() > 40, "{all:?}");
    all
}

/// Names of metrics in `expr` and in nothing else.
fn metrics_in(alerts: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in alerts.lines() {
        let key = line.trim_start();
        inside = key.starts_with("expr:") || (inside && !key.starts_with("for:") && !key.starts_with("labels:"));
        if inside {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            names.extend(
                words.filter(|word| word.starts_with("wasmilter_") || word.starts_with("process_")).map(str::to_owned),
            );
        }
    }
    names
}
