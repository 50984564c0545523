//! Several arbiters, each with a runtime and a thread of its own, that serve clones of the same listeners.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    script::{MESSAGE, Script, Scripted},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};
use tokio::sync::watch;
use wasmilter_message::{body::InMemory, decision::Verdict};
use wasmilter_milter::{Address, Listener, Metrics, Settings, serve};

const CONNECTIONS: usize = 50;

/// An arbiter that serves clones of all listeners until it is told to stop.
struct Arbiter {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Arbiter {
    fn start(listeners: &[Listener], script: &Arc<Script>, metrics: &Arc<Metrics>) -> Self {
        let clones: Vec<Listener> = listeners.iter().map(|listener| listener.try_clone().unwrap()).collect();
        let (script, metrics) = (Arc::clone(script), Arc::clone(metrics));
        let (stop, stopped) = watch::channel(false);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut doors = tokio::task::JoinSet::new();
                for clone in clones {
                    let mut stopped = stopped.clone();
                    doors.spawn(serve(
                        clone,
                        Arc::new(Scripted(Arc::clone(&script))),
                        Arc::new(InMemory),
                        Arc::new(Settings::default()),
                        Arc::clone(&metrics),
                        async move {
                            let _ = stopped.wait_for(|stopped| *stopped).await;
                        },
                    ));
                }
                while let Some(ended) = doors.join_next().await {
                    ended.unwrap().unwrap();
                }
            });
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.send_replace(true);
        self.thread.join().unwrap();
    }
}

async fn greeted(address: &str) -> FakeMta {
    let mut mta = FakeMta::connect(address, Flavour::Postfix, Offer::V6).await.unwrap();
    assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
    mta
}

async fn send(mta: &mut FakeMta, body: &str) {
    let outcome = mta.send(&Mail::new(&[("Subject", " x")], body)).await.unwrap();
    assert_eq!(outcome.reply.command, b'a', "{body}");
}

/// All connections at once, three messages each.
async fn storm(addresses: &[String], round: &str) {
    let gate = Arc::new(tokio::sync::Barrier::new(CONNECTIONS));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let (address, gate) = (addresses[number % addresses.len()].clone(), Arc::clone(&gate));
        let round = round.to_owned();
        tasks.spawn(async move {
            gate.wait().await;
            let mut mta = greeted(&address).await;
            for message in 0..3 {
                send(&mut mta, &format!("{round} {number} {message}\r\n")).await;
            }
            mta.quit().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_arbiters_share_a_unix_and_a_tcp_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("milter.sock");
    let listeners: Vec<Listener> = [format!("unix:{}", path.display()), "inet:127.0.0.1:0".to_owned()]
        .iter()
        .map(|address| Listener::bind(&address.parse::<Address>().unwrap()).unwrap())
        .collect();
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let script = Arc::new(Script::new(MESSAGE, move |message| {
        seen.lock().unwrap().insert(thread::current().id());
        if message.body == "stuck" {
            released.lock().unwrap().recv_timeout(Duration::from_secs(60)).expect("the other arbiter did not serve");
        }
        Verdict::Accept
    }));
    let registry = prometheus::Registry::new();
    let metrics = Arc::new(Metrics::register(&registry).unwrap());
    let first = Arbiter::start(&listeners, &script, &metrics);
    let second = Arbiter::start(&listeners, &script, &metrics);
    drop(listeners);

    storm(&addresses, "both").await;
    let bodies: HashSet<_> = script.messages.lock().unwrap().drain(..).map(|message| message.body).collect();
    assert_eq!(bodies.len(), CONNECTIONS * 3, "each message once");

    // While one arbiter is stuck, the other takes all new connections, on both listeners.
    threads.lock().unwrap().clear();
    let mut stuck = greeted(&addresses[0]).await;
    stuck.patience = Duration::from_secs(60);
    let stuck = tokio::spawn(async move { send(&mut stuck, "stuck").await });
    while threads.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    storm(&addresses, "one").await;
    assert!(!stuck.is_finished());
    assert_eq!(threads.lock().unwrap().len(), 2, "one is stuck, the other has served");
    release.send(()).unwrap();
    stuck.await.unwrap();

    // One ends, and the other goes on alone; then nobody listens, and the socket's file is gone.
    first.stop();
    assert!(path.exists());
    storm(&addresses, "alone").await;
    second.stop();
    assert!(!path.exists());
    for address in &addresses {
        assert!(FakeMta::connect(address, Flavour::Postfix, Offer::V6).await.is_err(), "{address}");
    }
    let open = registry.gather().iter().find(|f| f.name() == "wasmilter_connections").unwrap().get_metric()[0].clone();
    assert_eq!(open.get_gauge().get_value(), 0.0);
}
