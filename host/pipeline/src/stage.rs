//! A stage, and the actor that runs its plugin.
//!
//! Every worker has an actor of its own for every stage. The actor takes a `Decide` or an `Ask` by `send`, starts the
//! plugin's call as a task on its arbiter and goes back to its mailbox. The call ends in one of these ways, and the
//! sender hears of each:
//!
//! - the plugin answers, or fails by itself: that is the reply;
//! - the deadline passes: the call is dropped, the reply is [`Cause::Timeout`];
//! - the call panics: the panic ends there, the reply is [`Cause::Died`], neighbours go on;
//! - the actor dies: the call is dropped and so is the reply channel, which the sender takes as [`Cause::Died`];
//! - the sender has gone: the call is dropped, nobody is told.
//!
//! The slot of the stage's concurrency limit travels with the call and is freed when the call ends, not when the sender
//! stops waiting.

use crate::{breaker::BreakerSettings, clock, condition::Condition, lane::Slot};
use actix::{
    Actor, Context, Handler, Message,
    dev::{MessageResponse, OneshotSender},
};
use futures_util::FutureExt;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};
use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout_at};
use wasmilter_message::{
    apply::EditGrants,
    deadline::Deadline,
    decision::{Decision, HookDecision},
    failure::{Cause, Failure},
    judge::Hook,
    limit::Limit,
    message::ParsedMessage,
    policy::{Called, Policy},
    turn::{self, Turn},
};

/// One `[[stage]]` of the configuration, with its plugin loaded.
#[derive(Clone)]
pub struct Stage {
    /// Name; facts are published in it.
    pub name: Arc<str>,
    /// The plugin as configured: a bundled name or a path.
    pub plugin: Arc<str>,
    /// The plugin.
    pub policy: Arc<dyn Policy>,
    /// The group that it belongs to: neighbours of one group are asked at once.
    pub group: Option<Arc<str>>,
    /// The stage runs only when this is true.
    pub when: Option<Condition>,
    /// The stage runs only when this is false.
    pub unless: Option<Condition>,
    /// Bound of the wait for a slot, and again of the plugin's call. What is left of the message's deadline bounds both.
    pub timeout: Duration,
    /// Calls at one time, all workers together.
    pub concurrency: usize,
    /// What becomes of a message on which the stage gave no decision.
    pub on_failure: OnFailure,
    /// When the plugin is no longer called because it fails again and again.
    pub breaker: BreakerSettings,
    /// Whether what it decides counts.
    pub mode: Mode,
    /// What it may change.
    pub grants: EditGrants,
}

/// What becomes of a message when a stage gave no decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Refuse for now; the client comes back.
    #[default]
    Tempfail,
    /// Go on with the next stage, as if this one were not there.
    Skip,
    /// Refuse for good.
    Reject,
    /// Hold back. At an envelope hook, where nothing can be held: refuse for now.
    Quarantine,
    /// Deliver; later stages do not run. At an envelope hook: go on.
    Accept,
}

/// Whether what a stage decides counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// The stage runs, and its decision is checked, recorded and counted; verdict, edits, facts and failures have no
    /// effect, so that a stage can be tried on real mail. No facts either: a condition of an enforcing stage must not
    /// depend on one that is on trial. It costs time like any other.
    Shadow,
}

/// Runs the plugin of one stage on one worker.
pub(crate) struct StageActor {
    policy: Arc<dyn Policy>,
    mailbox: usize,
    panics: IntCounter,
    /// Dropped with the actor, however it dies: that is how its calls and its supervisor learn of it.
    alive: watch::Sender<()>,
}

impl StageActor {
    pub(crate) fn new(policy: Arc<dyn Policy>, mailbox: usize, panics: IntCounter) -> Self {
        Self { policy, mailbox, panics, alive: watch::Sender::new(()) }
    }

    /// Resolves when the actor is dead.
    pub(crate) fn death(&self) -> Death {
        Death(self.alive.subscribe())
    }

    fn run<T: 'static>(&self, call: impl Future<Output = Called<T>> + 'static) -> Running<T> {
        Running { call: Box::pin(call), death: self.death(), panics: self.panics.clone() }
    }
}

impl Actor for StageActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // As long as the slots: who has a slot does not wait again.
        context.set_mailbox_capacity(self.mailbox);
    }
}

/// Have the plugin judge a message.
pub(crate) struct Decide {
    pub(crate) message: Arc<ParsedMessage>,
    pub(crate) deadline: Deadline,
    /// Paused while the plugin waits for the outside.
    pub(crate) turn: Option<Arc<dyn Turn>>,
    pub(crate) slot: Slot,
}

impl Message for Decide {
    type Result = Called<Decision>;
}

impl Handler<Decide> for StageActor {
    type Result = Running<Decision>;

    fn handle(&mut self, Decide { message, deadline, turn, slot }: Decide, _: &mut Context<Self>) -> Self::Result {
        let policy = Arc::clone(&self.policy);
        self.run(async move {
            let _slot = slot;
            turn::within(turn, bounded(deadline, policy.decide(message, deadline))).await
        })
    }
}

/// Ask the plugin at an envelope hook.
pub(crate) struct Ask {
    pub(crate) hook: Hook,
    pub(crate) so_far: Arc<ParsedMessage>,
    pub(crate) deadline: Deadline,
    /// Paused while the plugin waits for the outside.
    pub(crate) turn: Option<Arc<dyn Turn>>,
    pub(crate) slot: Slot,
}

impl Message for Ask {
    type Result = Called<HookDecision>;
}

impl Handler<Ask> for StageActor {
    type Result = Running<HookDecision>;

    fn handle(&mut self, Ask { hook, so_far, deadline, turn, slot }: Ask, _: &mut Context<Self>) -> Self::Result {
        let policy = Arc::clone(&self.policy);
        self.run(async move {
            let _slot = slot;
            turn::within(turn, bounded(deadline, policy.hook(hook, so_far, deadline))).await
        })
    }
}

/// The plugin keeps its deadline by itself; this holds should it not.
async fn bounded<T>(deadline: Deadline, call: impl Future<Output = Called<T>>) -> Called<T> {
    match timeout_at(clock::instant(deadline), call).await {
        Ok(called) => called,
        Err(_) => Err(Failure::limit(Limit::Timeout, "no decision within the stage's time limit")).into(),
    }
}

/// A call on its way, as the reply to its message.
pub(crate) struct Running<T> {
    call: Pin<Box<dyn Future<Output = Called<T>>>>,
    death: Death,
    panics: IntCounter,
}

impl<T, M> MessageResponse<StageActor, M> for Running<T>
where
    T: 'static,
    M: Message<Result = Called<T>>,
{
    fn handle(self, _: &mut Context<StageActor>, reply: Option<OneshotSender<M::Result>>) {
        let Some(mut reply) = reply else { return };
        let call = AssertUnwindSafe(self.call).catch_unwind();
        actix_rt::spawn(async move {
            let result = tokio::select! {
                biased;
                () = self.death.wait() => return,
                () = reply.closed() => return,
                result = call => result,
            };
            // A panic is already reported by the panic hook; its text may hold message content.
            let result = result.unwrap_or_else(|_| {
                self.panics.inc();
                Err(Failure::new(Cause::Died, "the call panicked")).into()
            });
            if reply.send(result).is_err() {
                tracing::debug!("nobody waits for this decision any more");
            }
        });
    }
}

/// Tells when an actor has died.
pub(crate) struct Death(watch::Receiver<()>);

impl Death {
    pub(crate) async fn wait(mut self) {
        // Nothing is ever sent: what ends the loop is the end of the sender.
        while self.0.changed().await.is_ok() {}
    }
}

/// A fault to be had, for tests.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Stop,
    Panic,
}

#[cfg(test)]
impl Message for Fault {
    type Result = ();
}

#[cfg(test)]
impl Handler<Fault> for StageActor {
    type Result = ();

    fn handle(&mut self, fault: Fault, context: &mut Context<Self>) {
        use actix::ActorContext;
        match fault {
            Fault::Stop => context.stop(),
            Fault::Panic => panic!("a fault injected by a test"),
        }
    }
}
