//! Peers that speak another protocol are told, or the log tells; see `src/stranger.rs`.

use crate::{
    fake_mta::{Flavour, Mail},
    log::Log,
    script::{Door, MESSAGE, Script, eventually},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn each_is_told_what_it_came_to_and_harms_nobody() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let door = Door::open(Script::accepting(MESSAGE));
    let mut neighbour = door.greeted(Flavour::Postfix).await;
    let long = format!("GET /metrics HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(100_000));
    for (number, (said, answer, level, logged)) in [
        (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP/1.1 400 ", "DEBUG", "an HTTP request came"),
        (long.as_bytes(), "HTTP/1.1 400 ", "DEBUG", "an HTTP request came"),
        (b"EHLO client.example\r\n", "554 5.3.2 ", "WARN", "an SMTP client came"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "", "WARN", "a TLS handshake came"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "", "WARN", "a PROXY header came"),
    ]
    .into_iter()
    .enumerate()
    {
        log.take();
        let mut peer = TcpStream::connect(door.inet()).await.unwrap();
        peer.write_all(said).await.unwrap();
        let mut heard = String::new();
        let read = timeout(Duration::from_secs(5), peer.read_to_string(&mut heard)).await.expect("an end");
        // Who is told nothing may be reset: the rest of what it said was never read.
        assert!(read.is_ok() || answer.is_empty(), "{read:?} {heard}");
        assert!(heard.starts_with(answer) && heard.is_empty() == answer.is_empty(), "{heard}");
        drop(peer);
        let errors = number as f64 + 1.0;
        eventually("it is counted", || door.metric("wasmilter_protocol_errors_total") == errors).await;
        let told = log.take();
        assert!(told.lines().any(|line| line.contains(level) && line.contains(logged)), "{told}");
        assert_eq!(told.contains("WARN"), level == "WARN", "{told}");
    }
    assert_eq!(neighbour.send(&Mail::new(&[], "x")).await.unwrap().reply.command, b'a');
}
