//! Against real sockets: a local listener for every way in which a peer can behave.

use super::*;
use std::{net::SocketAddr, time::Instant};
use tokio::net::{TcpListener, UnixListener};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(20);

fn services(address: &str, timeout: Duration, connections: usize) -> NamedServices {
    let settings = ServiceSettings { address: address.parse().expect("an address"), timeout, connections };
    let registry = Registry::new();
    NamedServices::new(BTreeMap::from([("peer".to_owned(), settings)]), &registry).expect("a new registry")
}

/// Listens; every connection is handed to `behave`.
async fn peer<F: Future<Output = ()> + Send + 'static>(behave: fn(TcpStream) -> F) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    address
}

async fn until_end(connection: &mut Box<dyn Connection>) -> Result<Vec<u8>, ServiceError> {
    let mut all = Vec::new();
    loop {
        let piece = connection.read(7, Deadline::after(LONG)).await?;
        if piece.is_empty() {
            return Ok(all);
        }
        assert!(piece.len() <= 7);
        all.extend_from_slice(&piece);
    }
}

/// Answers with what it got, once the client has said that this was all.
async fn echo_after_end(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.expect("reading");
    stream.write_all(&all).await.expect("writing");
}

#[tokio::test]
async fn half_close_and_answer_over_tcp() {
    let address = peer(echo_after_end).await;
    for form in [format!("{address}"), format!("inet:{address}"), format!("tcp:localhost:{}", address.port())] {
        let services = services(&form, LONG, 1);
        let deadline = Deadline::after(LONG);
        let mut connection = services.open("peer", deadline).await.expect("a listener");
        connection.write(b"who is ", deadline).await.expect("open");
        connection.write(b"there?", deadline).await.expect("open");
        connection.finish(deadline).await.expect("open");
        assert_eq!(until_end(&mut connection).await.expect("an answer"), b"who is there?");
        assert!(connection.read(10, deadline).await.expect("still the end").is_empty());
    }
}

#[tokio::test]
async fn the_same_over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move { echo_after_end(listener.accept().await.expect("a client").0).await });
    let services = services(&format!("unix:{}", path.display()), LONG, 1);
    let deadline = Deadline::after(LONG);
    let mut connection = services.open("peer", deadline).await.expect("a listener");
    connection.write(b"zINSTREAM\0", deadline).await.expect("open");
    connection.finish(deadline).await.expect("open");
    assert_eq!(until_end(&mut connection).await.expect("an answer"), b"zINSTREAM\0");
}

#[tokio::test]
async fn over_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { echo_after_end(listener.accept().await.expect("a client").0).await });
    let services = services(&address.to_string(), LONG, 1);
    let mut connection = services.open("peer", Deadline::after(LONG)).await.expect("a listener");
    connection.finish(Deadline::after(LONG)).await.expect("open");
    assert!(until_end(&mut connection).await.expect("the end").is_empty());
}

#[tokio::test]
async fn unknown_and_unreachable() {
    let services = services("127.0.0.1:1", LONG, 1);
    let deadline = Deadline::after(LONG);
    assert_eq!(services.open("other", deadline).await.err(), Some(ServiceError::Denied));
    let Err(ServiceError::Unreachable(text)) = services.open("peer", deadline).await else {
        panic!("port 1 is closed")
    };
    assert!(text.contains("service peer at inet:127.0.0.1:1"), "{text}");
    assert_eq!(services.0["peer"].metrics.failures.with_label_values(&["peer", "unreachable"]).get(), 1);
}

#[tokio::test]
async fn a_peer_that_hangs_costs_the_services_limit() {
    let address = peer(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await;
    let services = services(&address.to_string(), SHORT, 1);
    let mut connection = services.open("peer", Deadline::after(LONG)).await.expect("a listener");
    let started = Instant::now();
    assert_eq!(connection.read(10, Deadline::after(LONG)).await, Err(ServiceError::TimedOut));
    assert!(started.elapsed() >= SHORT && started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    assert_eq!(connection.read(10, Deadline::after(LONG)).await, Err(ServiceError::Closed), "of no use any more");
    assert_eq!(services.0["peer"].connections.get(), 0);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_the_callers_deadline() {
    let address = peer(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await;
    let services = services(&address.to_string(), LONG, 1);
    let mut connection = services.open("peer", Deadline::after(LONG)).await.expect("a listener");
    let started = Instant::now();
    let much = vec![0; 64 << 20];
    assert_eq!(connection.write(&much, Deadline::after(SHORT)).await, Err(ServiceError::TimedOut));
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_peer_that_resets() {
    let address = peer(|mut stream| async move {
        stream.read_u8().await.expect("a byte");
        // Closing with linger 0 sends a reset instead of an end.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    })
    .await;
    let services = services(&address.to_string(), LONG, 1);
    let deadline = Deadline::after(LONG);
    let mut connection = services.open("peer", deadline).await.expect("a listener");
    connection.write(b"?", deadline).await.expect("open");
    assert_eq!(until_end(&mut connection).await, Err(ServiceError::Closed));
    assert_eq!(connection.write(b"?", deadline).await, Err(ServiceError::Closed));
}

#[tokio::test]
async fn a_slow_peer_is_waited_for() {
    let address = peer(|mut stream| async move {
        for byte in b"slow" {
            tokio::time::sleep(SHORT / 3).await;
            stream.write_all(&[*byte]).await.expect("a reader");
        }
    })
    .await;
    // Every wait is shorter than the limit, their sum is longer.
    let services = services(&address.to_string(), SHORT, 1);
    let mut connection = services.open("peer", Deadline::after(LONG)).await.expect("a listener");
    assert_eq!(until_end(&mut connection).await.expect("all of it"), b"slow");
}

#[tokio::test]
async fn the_limit_of_connections_is_obeyed_and_freed() {
    let address = peer(echo_after_end).await;
    let services = services(&address.to_string(), SHORT, 2);
    let deadline = Deadline::after(LONG);
    let first = services.open("peer", deadline).await.expect("one of two");
    let _second = services.open("peer", deadline).await.expect("two of two");
    let Err(ServiceError::Limit(text)) = services.open("peer", deadline).await else { panic!("three of two") };
    assert!(text.contains("all 2 connections"), "{text}");
    drop(first);
    let _third = services.open("peer", deadline).await.expect("a slot was freed");
    assert_eq!(services.0["peer"].connections.get(), 2);
}

#[tokio::test]
async fn who_waits_for_a_slot_gets_the_one_that_is_freed() {
    let address = peer(echo_after_end).await;
    let services = services(&address.to_string(), LONG, 1);
    let first = services.open("peer", Deadline::after(LONG)).await.expect("free");
    let free = async {
        tokio::time::sleep(SHORT).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(services.open("peer", Deadline::after(LONG)), free);
    assert!(second.is_ok());
}

#[test]
fn counters_have_their_names_and_a_reload_keeps_them() {
    let registry = Registry::new();
    let metrics = ServiceMetrics::register(&registry).expect("a new registry");
    let settings = ServiceSettings { address: "a:1".parse().expect("an address"), timeout: LONG, connections: 1 };
    let all = BTreeMap::from([("peer".to_owned(), settings)]);
    let _before = NamedServices::with_metrics(all.clone(), &metrics);
    let _after = NamedServices::with_metrics(all, &metrics);
    let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    let expected =
        ["wasmilter_service_connections", "wasmilter_service_connections_total", "wasmilter_service_failures_total"];
    assert_eq!(names, expected);
}
