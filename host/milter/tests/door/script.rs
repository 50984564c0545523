//! A judge that does what a test tells it, and a door in front of it.

use crate::fake_mta::{FakeMta, Flavour, Offer};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};
use wasmilter_message::{
    body::{BodyStore, InMemory},
    decision::{HookVerdict, Verdict},
    facts::{Fact, Value},
    judge::{BoxFuture, Hook, HookJudged, Judge, Needs},
    message::{JudgedMessage, ParsedMessage, ReceivedMessage, Transaction},
    trace::Trace,
};
use wasmilter_milter::{Address, Listener, Metrics, Settings, serve};

pub const MESSAGE: Needs =
    Needs { connect: false, helo: false, mail: false, rcpt: false, message: true, headers: true, body: true };
pub const EVERYTHING: Needs =
    Needs { connect: true, helo: true, mail: true, rcpt: true, message: true, headers: true, body: true };

type Decide = dyn Fn(&mut ParsedMessage) -> Verdict + Send + Sync;
type Answer = dyn Fn(&Hook, &Transaction) -> HookVerdict + Send + Sync;

/// What the judge does, and what it saw.
pub struct Script {
    needs: Needs,
    decide: Box<Decide>,
    answer: Box<Answer>,
    /// How long each takes.
    delay: Duration,
    pub messages: Mutex<Vec<ReceivedMessage>>,
    pub hooks: Mutex<Vec<(Hook, Transaction)>>,
    pub unfinished: Mutex<usize>,
}

impl Script {
    pub fn new(needs: Needs, decide: impl Fn(&mut ParsedMessage) -> Verdict + Send + Sync + 'static) -> Self {
        Self {
            needs,
            decide: Box::new(decide),
            answer: Box::new(|_, _| HookVerdict::Next),
            delay: Duration::ZERO,
            messages: Mutex::default(),
            hooks: Mutex::default(),
            unfinished: Mutex::default(),
        }
    }

    pub fn accepting(needs: Needs) -> Self {
        Self::new(needs, |_| Verdict::Accept)
    }

    pub fn answering(mut self, answer: impl Fn(&Hook, &Transaction) -> HookVerdict + Send + Sync + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    pub fn taking(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// Shared with the door.
pub struct Scripted(pub Arc<Script>);

impl Judge for Scripted {
    fn needs(&self) -> Needs {
        self.0.needs
    }

    fn hook(&self, hook: Hook, so_far: Transaction) -> BoxFuture<'static, HookJudged> {
        let script = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::time::sleep(script.delay).await;
            let verdict = (script.answer)(&hook, &so_far);
            let mut facts = so_far.facts.clone();
            facts.publish("hook", &Fact { name: hook.name().to_owned(), value: Value::Flag(true) });
            script.hooks.lock().unwrap().push((hook, so_far));
            HookJudged { verdict, facts }
        })
    }

    fn judge(&self, message: ReceivedMessage) -> BoxFuture<'static, JudgedMessage> {
        let script = Arc::clone(&self.0);
        Box::pin(async move {
            script.messages.lock().unwrap().push(message.clone());
            *script.unfinished.lock().unwrap() += 1;
            if !script.delay.is_zero() {
                tokio::time::sleep(script.delay).await;
            }
            let received = Arc::new(ParsedMessage::new(message));
            let mut changed = ParsedMessage::clone(&received);
            let verdict = (script.decide)(&mut changed);
            *script.unfinished.lock().unwrap() -= 1;
            JudgedMessage { received, message: Arc::new(changed), verdict, trace: Trace::default() }
        })
    }
}

/// A door that is open on a port of its own.
pub struct Door {
    pub address: String,
    pub script: Arc<Script>,
    pub registry: prometheus::Registry,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Door {
    pub fn open(script: Script) -> Self {
        Self::open_with(script, Settings::default())
    }

    pub fn open_with(script: Script, settings: Settings) -> Self {
        Self::open_at("inet:127.0.0.1:0", script, settings, Arc::new(InMemory))
    }

    pub fn open_at(address: &str, script: Script, settings: Settings, store: Arc<dyn BodyStore>) -> Self {
        let listener = Listener::bind(&address.parse::<Address>().unwrap()).unwrap();
        let address = listener.address().to_string();
        let script = Arc::new(script);
        let registry = prometheus::Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).unwrap());
        let (shutdown, asked) = oneshot::channel::<()>();
        let judge = Arc::new(Scripted(Arc::clone(&script)));
        let task = tokio::spawn(serve(listener, judge, store, Arc::new(settings), metrics, async move {
            let _ = asked.await;
        }));
        Self { address, script, registry, shutdown, task }
    }

    pub async fn mta(&self, flavour: Flavour, offer: Offer) -> FakeMta {
        FakeMta::connect(&self.address, flavour, offer).await.unwrap()
    }

    /// A connection after HELO.
    pub async fn greeted(&self, flavour: Flavour) -> FakeMta {
        let mut mta = self.mta(flavour, Offer::V6).await;
        assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
        mta
    }

    pub fn inet(&self) -> SocketAddr {
        self.address.strip_prefix("inet:").unwrap().parse().unwrap()
    }

    pub fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let metric = &families.iter().find(|family| family.name() == name).unwrap().get_metric()[0];
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    }

    /// The only message that was judged.
    pub fn message(&self) -> ReceivedMessage {
        let messages = self.script.messages.lock().unwrap();
        assert_eq!(messages.len(), 1);
        messages[0].clone()
    }

    /// Asks for shutdown and waits for its end.
    pub async fn close(self) {
        let _ = self.shutdown.send(());
        self.task.await.unwrap().unwrap();
    }

    /// Asks for shutdown; the task ends when the door has closed.
    pub fn begin_closing(self) -> JoinHandle<std::io::Result<()>> {
        let _ = self.shutdown.send(());
        self.task
    }
}

/// Waits until something holds, 5 s at most.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
