//! A door without descriptors waits for some. In a process of its own, because the limit is the process's.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wasmilter_message::{
    body::InMemory,
    decision::{HookVerdict, Verdict},
    judge::{BoxFuture, Hook, HookJudged, Judge, Needs},
    message::{JudgedMessage, ParsedMessage, ReceivedMessage, Transaction},
    trace::Trace,
};
use wasmilter_milter::{Address, Listener, Metrics, Settings, serve};

struct Accept;

impl Judge for Accept {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn hook(&self, _: Hook, so_far: Transaction) -> BoxFuture<'static, HookJudged> {
        Box::pin(async move { HookJudged { verdict: HookVerdict::Next, facts: so_far.facts } })
    }

    fn judge(&self, message: ReceivedMessage) -> BoxFuture<'static, JudgedMessage> {
        let received = Arc::new(ParsedMessage::new(message));
        Box::pin(async move {
            JudgedMessage {
                message: Arc::clone(&received),
                received,
                verdict: Verdict::Accept,
                trace: Trace::default(),
            }
        })
    }
}

/// Whether the door answers a negotiation on that connection.
async fn answers(stream: &mut TcpStream) -> bool {
    let offer = [0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff];
    stream.write_all(&offer).await.is_ok() && matches!(stream.read(&mut [0; 4]).await, Ok(4))
}

#[tokio::test]
async fn running_out_of_descriptors_is_survived() {
    let listener = Listener::bind(&"inet:127.0.0.1:0".parse::<Address>().unwrap()).unwrap();
    let Address::Inet(address) = *listener.address() else { unreachable!("bound to inet") };
    let metrics = Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap());
    let never = std::future::pending();
    let door = tokio::spawn(serve(
        listener,
        Arc::new(Accept),
        Arc::new(InMemory),
        Arc::new(Settings::default()),
        metrics,
        never,
    ));
    // Stays open, so that its descriptor does not become free meanwhile.
    let mut first = TcpStream::connect(address).await.unwrap();
    assert!(answers(&mut first).await);

    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 100, hard).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    // One descriptor for the client's side, none for the door's.
    files.pop();
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut waiting = Box::pin(answers(&mut client));
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "nobody can be served now");
    assert!(!door.is_finished(), "the door waits");

    drop(files);
    assert!(timeout(Duration::from_secs(5), waiting).await.unwrap(), "who waited is served");
    let mut next = TcpStream::connect(address).await.unwrap();
    assert!(timeout(Duration::from_secs(5), answers(&mut next)).await.unwrap());
    door.abort();
}
