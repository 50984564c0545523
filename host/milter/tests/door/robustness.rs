//! Whatever comes over the wire: no panic, no hang, no harm to others.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer, Writing},
    script::{Door, EVERYTHING, MESSAGE, Script, eventually},
};
use proptest::prelude::*;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wasmilter_message::decision::HookVerdict;

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the stream is cut, the message is the same: CRLF, characters and frames across pieces and chunks.
    #[test]
    fn any_chunking_gives_the_same_message(seed: u64, size in 0usize..200_000, postfix: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let body: Vec<u8> = b"caf\xc3\xa9\r\n.\r\n--=b\r\n".iter().copied().cycle().take(size).collect();
            let door = Door::open(Script::accepting(MESSAGE));
            let flavour = if postfix { Flavour::Postfix } else { Flavour::Sendmail };
            let mut mta = door.greeted(flavour).await.writing(Writing::Pieces(seed));
            let mail = Mail::new(&[("Subject", " x"), ("X-8bit", " \u{e9}\r\n \u{e9}")], body.clone());
            assert_eq!(mta.send(&mail).await.unwrap().reply.command, b'a');
            let message = door.message();
            assert!(message.body == body);
            let fields: Vec<_> = message.headers.iter().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
            assert_eq!(fields, mail.headers);
            mta.quit().await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_crlf_across_two_chunks_is_one_crlf() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let mut body = vec![b'x'; 65_534];
    body.extend_from_slice(b"\r\nrest\r\n");
    assert_eq!(body[65_534..65_536], *b"\r\n", "the first chunk ends in CR");
    mta.send(&Mail::new(&[], body.clone())).await.unwrap();
    assert!(door.message().body == body);
}

#[tokio::test]
async fn the_last_chunk_may_come_with_the_end() {
    let door = Door::open(Script::accepting(MESSAGE));
    let mut mta = door.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<a@x>\0").await.unwrap();
    mta.command(b'B', b"first ").await.unwrap();
    mta.queue(b'E', b"last");
    assert_eq!(mta.reply().await.unwrap().command, b'a');
    assert_eq!(door.message().body, "first last");
}

#[tokio::test]
async fn malformed_commands_close_the_connection_and_harm_nobody() {
    let door = Door::open(Script::accepting(EVERYTHING));
    let mut neighbour = door.greeted(Flavour::Postfix).await;
    let malformed: [(&[u8], &str); 9] = [
        (b"\0\0\0\0", "no command"),
        (b"\x7f\xff\xff\xffB", "two gigabytes"),
        (b"\0\0\0\x01?", "unknown command"),
        (b"\0\0\0\x05Mabcd", "string without end"),
        (b"\0\0\0\x01R", "recipient without address"),
        (b"\0\0\0\x06La\0bcd", "value without end"),
        (b"\0\0\0\x02L\0", "field without name"),
        (b"\0\0\0\x03Cx\0", "client without family"),
        (b"\0\0\0\x06Cx\x004\0\0", "client without address"),
    ];
    for (number, (bytes, what)) in malformed.iter().enumerate() {
        let mut mta = door.greeted(Flavour::Postfix).await;
        mta.raw(bytes).await.unwrap();
        mta.closed().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(door.metric("wasmilter_protocol_errors_total"), number as f64 + 1.0, "{what}");
    }
    assert_eq!(neighbour.send(&Mail::new(&[], "x")).await.unwrap().reply.command, b'a');
    neighbour.quit().await.unwrap();
    eventually("all are closed", || door.metric("wasmilter_connections") == 0.0).await;
}

/// Random bytes, and random frames of valid commands with random data: each session ends, and the door lives on.
#[tokio::test]
async fn noise_neither_panics_nor_hangs() {
    let door = Door::open(Script::accepting(EVERYTHING).answering(|_, _| HookVerdict::Next));
    let mut seed = 20_260_101;
    for round in 0..400 {
        let mut bytes = Vec::new();
        if round % 4 != 0 {
            bytes.extend_from_slice(&[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]);
        }
        for _ in 0..random(&mut seed) % 60 {
            let noise = random(&mut seed) % 40;
            let data: Vec<u8> = (0..noise).map(|_| b"\0\0\0ab4\xff\n {}"[random(&mut seed) as usize % 11]).collect();
            if round % 2 == 0 {
                let commands = b"DDDCHMMRRRTLLLNBBBEEUAAKO";
                bytes.extend_from_slice(&(data.len() as u32 + 1).to_be_bytes());
                bytes.push(commands[random(&mut seed) as usize % (commands.len() - usize::from(round % 8 != 0))]);
            }
            bytes.extend_from_slice(&data);
        }
        let (mut reader, mut writer) = TcpStream::connect(door.inet()).await.unwrap().into_split();
        // A peer that was cut off may be told so by a reset.
        let _ = writer.write_all(&bytes).await;
        let _ = writer.shutdown().await;
        let mut replies = Vec::new();
        let _ = timeout(Duration::from_secs(5), reader.read_to_end(&mut replies)).await.expect("session does not end");
    }
    eventually("all are closed", || door.metric("wasmilter_connections") == 0.0).await;
    let mut mta = door.greeted(Flavour::Postfix).await;
    assert_eq!(mta.send(&Mail::new(&[], "alive")).await.unwrap().reply.command, b'a');
}

#[tokio::test]
async fn two_hundred_connections_at_once() {
    let door = Door::open(Script::accepting(MESSAGE).taking(Duration::from_millis(50)));
    let mut tasks = tokio::task::JoinSet::new();
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(200));
    for number in 0..200 {
        let (address, gate) = (door.address.clone(), std::sync::Arc::clone(&gate));
        tasks.spawn(async move {
            let flavour = if number % 2 == 0 { Flavour::Postfix } else { Flavour::Sendmail };
            let mut mta = FakeMta::connect(&address, flavour, Offer::V6).await.unwrap();
            mta.greet("192.0.2.1").await.unwrap();
            gate.wait().await;
            for message in 0..3 {
                let mail = Mail::new(&[("X-Number", " 1")], format!("{number} {message}\r\n"));
                assert_eq!(mta.send(&mail).await.unwrap().reply.command, b'a');
            }
            mta.quit().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(door.metric("wasmilter_connections_total"), 200.0);
    let bodies: std::collections::HashSet<_> =
        door.script.messages.lock().unwrap().iter().map(|message| message.body.clone()).collect();
    assert_eq!(bodies.len(), 600, "each message once");
    eventually("all are closed", || door.metric("wasmilter_connections") == 0.0).await;
}

#[tokio::test]
async fn idle_connections_have_a_limit() {
    let settings = wasmilter_milter::Settings { idle: Duration::from_millis(100), ..Default::default() };
    let door = Door::open_with(Script::accepting(MESSAGE), settings);
    let mut mta = door.greeted(Flavour::Postfix).await;
    mta.closed().await.unwrap();
    assert_eq!(door.metric("wasmilter_protocol_errors_total"), 0.0);
}

/// Peers that stop in the middle of something cost a descriptor until their limit has passed, and nobody else's time.
#[tokio::test]
async fn slow_and_half_open_peers_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("milter.sock");
    let limit = Duration::from_secs(1);
    let settings = wasmilter_milter::Settings { frame: limit, write: limit, ..Default::default() };
    let store = std::sync::Arc::new(wasmilter_message::body::InMemory);
    let script = Script::accepting(MESSAGE).taking(Duration::from_millis(5));
    let door = Door::open_at(&format!("unix:{}", path.display()), script, settings, store);
    let mut neighbour = door.greeted(Flavour::Postfix).await;

    // Nothing is skipped and everything is answered.
    let offer: &[u8] = &[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 0, 0];
    let mut peers = Vec::new();
    for number in 0..80 {
        let mut peer = tokio::net::UnixStream::connect(&path).await.unwrap();
        match number % 4 {
            // Says nothing at all: allowed for as long as an SMTP session may be silent.
            0 => {}
            // Half a command.
            1 => peer.write_all(&[offer, b"\0\0\0\x09Mab"].concat()).await.unwrap(),
            // Closes its side while the message is judged.
            2 => {
                peer.write_all(&[offer, b"\0\0\0\x05M<a>\0", b"\0\0\0\x01E"].concat()).await.unwrap();
                peer.shutdown().await.unwrap();
            }
            // Never reads: replies pile up until nothing more fits.
            _ => {
                peer.write_all(offer).await.unwrap();
                let flood = b"\0\0\0\x03Ux\0".repeat(100_000);
                peers.push(tokio::spawn(async move {
                    let _cut = peer.write_all(&flood).await;
                    peer
                }));
                continue;
            }
        }
        peers.push(tokio::spawn(async move { peer }));
    }
    for _ in 0..50 {
        let sent = timeout(limit, neighbour.send(&Mail::new(&[], "x"))).await.expect("nobody holds it up");
        assert_eq!(sent.unwrap().reply.command, b'a');
    }
    eventually("only the silent ones and the neighbour are left", || door.metric("wasmilter_connections") == 21.0)
        .await;
    assert_eq!(neighbour.send(&Mail::new(&[], "x")).await.unwrap().reply.command, b'a');
    drop(peers);
}
