//! Plugins that are not there, and a pipeline around them.

use crate::{BreakerSettings, Condition, Limits, Metrics, Mode, OnFailure, Pipeline, Plan, Stage};
use prometheus::Registry;
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wasmilter_message::{
    apply::EditGrants,
    body::InMemory,
    deadline::Deadline,
    decision::{Decision, HookDecision, HookVerdict, Verdict},
    envelope::{Envelope, Mailbox},
    facts::{Fact, Value},
    failure::Failure,
    headers::Field,
    judge::{BoxFuture, Hook, Needs},
    limit::{Limit, LimitSet},
    message::{JudgedMessage, ParsedMessage, ReceivedMessage, Transaction},
    policy::{Called, PluginInfo, Policy, Used},
    turn,
};

/// What every call of a fake says that it used.
const USED: Used =
    Used { cpu: Duration::from_millis(3), memory: 3 << 20, refused: LimitSet::NONE.with(Limit::DnsQueries) };

pub(super) type Decided = Result<Decision, Failure>;
type Act = dyn Fn(Arc<ParsedMessage>, Deadline) -> BoxFuture<'static, Decided> + Send + Sync;
type ActAtHook = dyn Fn(Hook, Arc<ParsedMessage>) -> BoxFuture<'static, Result<HookDecision, Failure>> + Send + Sync;

/// A plugin that does what a test says.
pub(super) struct Fake {
    info: PluginInfo,
    pub(super) needs: Needs,
    act: Box<Act>,
    at_hook: Box<ActAtHook>,
    /// Calls so far.
    pub(super) calls: AtomicUsize,
    running: AtomicUsize,
    /// Most calls that ran at one time.
    pub(super) most: AtomicUsize,
}

impl Fake {
    fn new(needs: Needs, act: Box<Act>, at_hook: Box<ActAtHook>) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self {
            info: PluginInfo::default(),
            needs,
            act,
            at_hook,
            calls: zero(),
            running: zero(),
            most: zero(),
        })
    }

    fn enter(&self) -> Inside<'_> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        Inside(self)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// Counts a call down however it ends.
struct Inside<'a>(&'a Fake);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Policy for Fake {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn decide(&self, message: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Called<Decision>> {
        Box::pin(async move {
            let _inside = self.enter();
            Called { outcome: (self.act)(message, deadline).await, used: USED }
        })
    }

    fn hook(&self, hook: Hook, so_far: Arc<ParsedMessage>, _: Deadline) -> BoxFuture<'_, Called<HookDecision>> {
        Box::pin(async move {
            let _inside = self.enter();
            Called { outcome: (self.at_hook)(hook, so_far).await, used: USED }
        })
    }
}

const MESSAGE: Needs =
    Needs { connect: false, helo: false, mail: false, rcpt: false, message: true, headers: false, body: false };

/// Judges messages by `act`.
pub(super) fn acting<F>(act: impl Fn(Arc<ParsedMessage>, Deadline) -> F + Send + Sync + 'static) -> Arc<Fake>
where
    F: Future<Output = Decided> + Send + 'static,
{
    let act = Box::new(move |message, deadline| -> BoxFuture<'static, Decided> { Box::pin(act(message, deadline)) });
    Fake::new(MESSAGE, act, Box::new(|_, _| panic!("no hook asked for")))
}

/// Says the same of every message.
pub(super) fn saying(decided: Decided) -> Arc<Fake> {
    acting(move |_, _| std::future::ready(decided.clone()))
}

/// Says that verdict of every message, at once.
pub(super) fn verdict(verdict: Verdict) -> Arc<Fake> {
    saying(Ok(Decision::verdict(verdict)))
}

/// Says next after having waited for something outside for a while, whatever its deadline.
pub(super) fn slow(takes: Duration) -> Arc<Fake> {
    acting(move |_, _| async move {
        turn::outside(tokio::time::sleep(takes)).await;
        Ok(Decision::verdict(Verdict::Next))
    })
}

/// Says next after having computed for a while: for everybody else the same as sleeping without saying so.
pub(super) fn busy(takes: Duration) -> Arc<Fake> {
    acting(move |_, _| async move {
        tokio::time::sleep(takes).await;
        Ok(Decision::verdict(Verdict::Next))
    })
}

/// Is asked at the hooks of `needs`.
pub(super) fn at_hooks(
    needs: Needs,
    act: impl Fn(Hook, Arc<ParsedMessage>) -> Result<HookDecision, Failure> + Send + Sync + 'static,
) -> Arc<Fake> {
    let act = Box::new(move |hook, message| -> BoxFuture<'static, Result<HookDecision, Failure>> {
        Box::pin(std::future::ready(act(hook, message)))
    });
    Fake::new(needs, Box::new(|_, _| panic!("no message wanted")), act)
}

/// Says next at every hook after a while, whatever its deadline.
pub(super) fn slow_at_hooks(needs: Needs, takes: Duration) -> Arc<Fake> {
    let act = Box::new(move |_, _| -> BoxFuture<'static, Result<HookDecision, Failure>> {
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            hook_verdict(HookVerdict::Next)
        })
    });
    Fake::new(needs, Box::new(|_, _| panic!("no message wanted")), act)
}

/// Says that at every hook.
pub(super) fn hook_verdict(verdict: HookVerdict) -> Result<HookDecision, Failure> {
    Ok(HookDecision { verdict, facts: Vec::new() })
}

/// Next, and a number as fact `score`.
pub(super) fn score(score: f64) -> Decision {
    Decision { facts: vec![fact("score", Value::Number(score))], ..Decision::verdict(Verdict::Next) }
}

pub(super) fn fact(name: &str, value: Value) -> Fact {
    Fact { name: name.to_owned(), value }
}

/// A stage with ample limits.
pub(super) fn stage(name: &str, policy: &Arc<Fake>) -> Stage {
    Stage {
        name: name.into(),
        plugin: "fake".into(),
        policy: Arc::clone(policy) as Arc<dyn Policy>,
        group: None,
        when: None,
        unless: None,
        timeout: Duration::from_secs(20),
        concurrency: 16,
        on_failure: OnFailure::default(),
        breaker: BreakerSettings::default(),
        mode: Mode::default(),
        grants: EditGrants { headers: true, ..EditGrants::default() },
    }
}

pub(super) fn condition(source: &str) -> Option<Condition> {
    Some(Condition::compile(source, None).expect(source))
}

/// A pipeline on the test's own thread.
pub(super) struct Bench {
    pub(super) pipeline: Pipeline,
    pub(super) registry: Registry,
    pub(super) feed: crate::feed::Feed,
}

impl Bench {
    pub(super) fn new(plan: impl Into<Plan>) -> Self {
        Self::with(plan, Limits::default())
    }

    pub(super) fn with(plan: impl Into<Plan>, limits: Limits) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("a new registry");
        let feed = metrics.feed().clone();
        Self { pipeline: Pipeline::start(plan, limits, Arc::new(InMemory), metrics, &[]), registry, feed }
    }

    pub(super) async fn judge(&self) -> JudgedMessage {
        self.pipeline.judge(0).judge(mail()).await
    }

    pub(super) async fn verdict(&self) -> &'static str {
        self.judge().await.verdict.name()
    }

    /// The value of a series, as `/metrics` would show it: `name{label="value",…}`.
    pub(super) fn metric(&self, series: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).expect("encodable");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
    }
}

pub(super) fn mail() -> ReceivedMessage {
    ReceivedMessage {
        transaction: Transaction {
            id: "m1".into(),
            envelope: Envelope {
                sender: Mailbox::new("<anna@example.org>"),
                recipients: vec![Mailbox::new("<bert@example.com>")],
                queue_id: Some("4F2c".to_owned()),
            },
            ..Transaction::default()
        },
        headers: vec![Field::new(&b"Subject"[..], &b" Hello"[..])],
        body: bytes::Bytes::from_static(b"Hello\r\n"),
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(super) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(super) fn write(&self, line: impl Into<String>) {
        self.0.lock().expect("no panic while writing").push(line.into());
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic while writing").clone()
    }
}

/// Runs a test on one thread whose clock jumps to the next timer whenever there is nothing to do.
pub(super) fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}
