//! The admin address as monitoring sees it, over a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

use prometheus::{IntCounter, Registry};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use wasmilter_admin::{Admin, Phase, Readiness, ReloadHook};

/// Sends a request in a thread of its own and gives the whole answer.
async fn ask(address: SocketAddr, request: &'static str) -> String {
    let asked = actix_web::rt::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

fn start() -> (SocketAddr, Readiness) {
    let registry = Registry::new();
    let counter = IntCounter::new("wasmilter_test_total", "A counter.").unwrap();
    counter.inc();
    registry.register(Box::new(counter)).unwrap();
    let readiness = Readiness::default();
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = admin.address();
    let reload: ReloadHook = {
        let times = AtomicUsize::new(0);
        Arc::new(move || {
            let first = times.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move { if first { Ok("done\n".to_owned()) } else { Err("a mistake\n".to_owned()) } })
        })
    };
    let hooks = wasmilter_admin::Hooks { reload: Some(reload), ..Default::default() };
    actix_web::rt::spawn(admin.serve(registry, readiness.clone(), hooks).unwrap());
    (address, readiness)
}

#[actix_web::test]
async fn metrics_come_in_the_text_format() {
    let (address, _) = start();
    let answer = ask(address, "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.ends_with("# TYPE wasmilter_test_total counter\nwasmilter_test_total 1\n"), "{answer}");
}

#[actix_web::test]
async fn readiness_follows_the_daemon_and_health_does_not() {
    let (address, readiness) = start();
    for (phase, status, text) in [
        (Phase::Starting, "503", "starting\n"),
        (Phase::Ready, "200", "ready\n"),
        (Phase::Stopping, "503", "stopping\n"),
    ] {
        readiness.enter(phase);
        let answer = ask(address, "GET /readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(text), "{answer}");
        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
    }
}

#[actix_web::test]
async fn a_reload_is_asked_for_by_post_and_tells_what_came_of_it() {
    let (address, _) = start();
    let answer = ask(address, "GET /reload").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST"), "{answer}");
    let answer = ask(address, "POST /reload HTTP/1.1\r\nOrigin: http://example.org\r\nX: ").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = ask(address, "POST /reload").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done\n"), "{answer}");
    let answer = ask(address, "POST /reload").await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.ends_with("a mistake\n"), "{answer}");
}

#[actix_web::test]
async fn anything_else_is_refused_with_a_hint() {
    let (address, _) = start();
    let answer = ask(address, "GET /").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/metrics"), "{answer}");
    for request in ["POST /metrics", "DELETE /healthz", "PUT /nowhere"] {
        let answer = ask(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let answer = ask(address, "HEAD /healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[actix_web::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let (address, _) = start();
    let error = Admin::bind(address).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
