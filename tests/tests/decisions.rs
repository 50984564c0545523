//! Decisions as they happen: `wasmilter tap`, and spans for a collector.
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
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};
use wasmilter_tests::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    scratch::Scratch,
    script::{scripted, stage},
    wasmilter::{Wasmilter, binary, get},
};

/// What must show up nowhere.
const SECRET: &str = "s3cret-content";

/// A stage that marks mail, and one that fails on the subject "bad".
fn stages() -> String {
    let edits = json!({ "edits": [{ "add-header": { "name": "X-Seen", "value": SECRET } }] });
    let trap = json!({ "how": "unreachable" });
    scripted("mark", "", &edits) + &stage("trap", "trap", "grants = [\"headers\"]\non_failure = \"skip\"", &trap)
}

fn send(address: &str, subjects: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut mta = FakeMta::connect(address, Flavour::Postfix, Offer::V6).await.unwrap();
        mta.greet("192.0.2.1").await.unwrap();
        for subject in subjects {
            mta.send(&Mail::new(&[("Subject", &format!(" {subject}")), ("X-Secret", SECRET)], SECRET)).await.unwrap();
        }
    });
}

/// A running `wasmilter tap` that listens already.
struct Tap {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tap {
    fn start(host: &Wasmilter, arguments: &[&str]) -> Self {
        let before = listeners(host);
        let mut child = Command::new(binary())
            .args(["tap", "--admin", &host.admin().to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        wasmilter_tests::wait::until("the tap to listen", Duration::from_secs(20), || {
            (listeners(host) > before).then_some(())
        });
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("a line").unwrap();
        assert!(!line.contains(SECRET) && !line.contains("example.org"), "{line}");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Who listens.
fn listeners(host: &Wasmilter) -> f64 {
    host.metrics().sum("wasmilter_listeners", &[])
}

#[test]
fn tap_shows_decisions_as_they_happen_and_nothing_of_the_mail() {
    let scratch = Scratch::new("decisions");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let host = Wasmilter::start_at(&address, &stages());
    let mut all = Tap::start(&host, &[]);
    let mut failures = Tap::start(&host, &["--stage", "trap", "--failure", "any"]);
    send(&address, &["good", "bad"]);

    let (good, bad) = (all.next(), all.next());
    assert_eq!((&good["verdict"], &good["stages"][0]["edits"][0]), (&json!("accept"), &json!("add-header")), "{good}");
    assert_eq!(good["stages"][1]["verdict"], "next");
    assert!(good["stages"][0]["cpu_microseconds"].as_u64().unwrap() > 0, "{good}");
    assert!(good["stages"][0]["memory_bytes"].as_u64().unwrap() > 0, "{good}");
    assert_eq!(bad["stages"][1]["failure"], "trap", "{bad}");
    // The second listener got the second message alone.
    assert_eq!(failures.next()["id"], bad["id"]);

    let queue_id = bad["queue_id"].as_str().unwrap().to_owned();
    let mut one = Tap::start(&host, &["--queue-id", &queue_id, "--count", "1"]);
    send(&address, &["good", "bad"]);
    let again = one.next();
    assert_eq!(again["queue_id"], queue_id.as_str());
    assert!(one.child.wait().unwrap().success());
    drop((all, failures, one));
    host.stop();
}

#[test]
fn a_filter_that_is_none_is_told() {
    let scratch = Scratch::new("decisions");
    let host = Wasmilter::start_at(&format!("unix:{}", scratch.join("milter.sock").display()), &stages());
    let admin = host.admin().to_string();
    let output = Command::new(binary()).args(["tap", "--admin", &admin, "--verdict", "rejected"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("verdict must be one of next, accept, reject"), "{complaint}");
    assert_eq!(get(host.admin(), "/tap?from=x").unwrap().0, 400);
    host.stop();
}

/// Takes what is sent to `/v1/traces`.
fn collector() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(body) = request(&mut stream) {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                    .unwrap();
                if tell.send(body).is_err() {
                    return;
                }
            }
        }
    });
    (address, told)
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let (mut length, mut first) = (0, String::new());
    stream.read_line(&mut first).ok().filter(|read| *read > 0)?;
    assert!(first.starts_with("POST /v1/traces "), "{first}");
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some(serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_collector_gets_a_span_for_each_message_with_one_for_each_stage() {
    let scratch = Scratch::new("decisions");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let (collector, told) = collector();
    let host = Wasmilter::start_at(&address, &format!("[telemetry]\notlp = \"http://{collector}\"\n{}", stages()));
    send(&address, &["good", "bad"]);

    let mut spans = Vec::new();
    while spans.len() < 6 {
        let request = told.recv_timeout(Duration::from_secs(30)).expect("spans");
        assert!(!request.to_string().contains(SECRET) && !request.to_string().contains("example.org"), "{request}");
        let resource = &request["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "wasmilter");
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    if let Some(file) = std::env::var_os("SPANS") {
        std::fs::write(file, serde_json::to_vec(&spans).unwrap()).unwrap();
    }
    let roots: Vec<&Value> = spans.iter().filter(|span| span["name"] == "message").collect();
    assert_eq!(roots.len(), 2, "{spans:#?}");
    let time = |span: &Value, which: &str| span[which].as_str().unwrap().parse::<u64>().unwrap();
    for root in roots {
        assert_eq!(root["traceId"].as_str().unwrap().len(), 32);
        let children: Vec<&Value> = spans.iter().filter(|span| span["parentSpanId"] == root["spanId"]).collect();
        assert_eq!(children.iter().map(|span| span["name"].as_str().unwrap()).collect::<Vec<_>>(), ["mark", "trap"]);
        for child in &children {
            assert_eq!(child["traceId"], root["traceId"]);
            assert!(time(root, "startTimeUnixNano") <= time(child, "startTimeUnixNano"), "{root} {child}");
            assert!(time(child, "endTimeUnixNano") <= time(root, "endTimeUnixNano"), "{root} {child}");
        }
    }
    let failed: Vec<&Value> = spans.iter().filter(|span| span["status"]["code"] == 2).collect();
    assert_eq!(failed.len(), 1, "{spans:#?}");
    assert_eq!((&failed[0]["name"], &failed[0]["status"]["message"]), (&json!("trap"), &json!("trap")));
    wasmilter_tests::wait::until("sent spans to be counted", Duration::from_secs(20), || {
        (host.metrics().sum("wasmilter_traces_total", &["outcome=\"sent\""]) >= 2.0).then_some(())
    });
    host.stop();
}

#[test]
fn a_collector_that_is_away_costs_spans_and_no_mail() {
    let scratch = Scratch::new("decisions");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let nobody = "[telemetry]\notlp = \"http://127.0.0.1:1\"\n";
    let host = Wasmilter::start_at(&address, &format!("{nobody}{}", stages()));
    send(&address, &["good"; 20]);
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_messages_total", &["verdict=\"accept\""]), 20.0);
    wasmilter_tests::wait::until("failed spans to be counted", Duration::from_secs(30), || {
        (host.metrics().sum("wasmilter_traces_total", &["outcome=\"failed\""]) >= 20.0).then_some(())
    });
    assert_eq!(host.log().matches("takes no spans").count(), 1, "{}", host.log());
    host.stop();
}
