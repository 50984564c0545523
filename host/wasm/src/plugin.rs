//! A plugin that is loaded and configured, and the life of one call.

use crate::{
    bindings::{
        exports::wasmilter::policy::{lifecycle, message_policy, on_connect, on_helo, on_mail, on_rcpt},
        wasmilter::policy::{hook_types, types},
    },
    call::{self, Call, Phase},
    capabilities, convert,
    failure::{Stop, classify},
    meter::Meter,
    prepare::CONFIGURE,
    sandbox::Sandbox,
    stage::{Isolation, Stage},
};
use serde::Serialize;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::OwnedSemaphorePermit;
use wasmilter_message::{
    deadline::Deadline,
    decision::{Decision, HookDecision},
    failure::{Cause, Failure},
    judge::{BoxFuture, Hook, Needs},
    limit::Limit,
    message::ParsedMessage,
    policy::{Called, PluginInfo, Policy},
};
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

/// How many instances are configured ahead of time where no snapshot can be taken. They take memory, and are used up one by
/// message; more help only against longer bursts.
const AHEAD: usize = 8;

/// A component, configured for one stage. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Prepared>);

/// Where an instance begins that meets a message. Shown in the log and by `wasmilter check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedFrom {
    /// Fresh, from the memory that `configure` left.
    Snapshot,
    /// Fresh, and configured ahead of time for this one message: a snapshot could not be taken. When messages come faster
    /// than instances are configured, one is configured while its message waits.
    Prepared,
    /// Fresh, and configured while the message waits: neither a snapshot could be taken nor an instance be configured ahead.
    Plain,
    /// Reused (`isolation = "worker"`).
    Worker,
}

impl StartedFrom {
    /// Its name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Prepared => "prepared",
            Self::Plain => "plain",
            Self::Worker => "worker",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Snapshot => "every message from a snapshot, taken after the plugin was configured",
            Self::Prepared => "every message in an instance of its own, configured ahead of time",
            Self::Plain => "every message in an instance of its own, configured while the message waits",
            Self::Worker => "messages one after the other in instances that are used again",
        }
    }
}

pub(crate) struct Prepared {
    pub(crate) sandbox: Sandbox,
    pub(crate) info: PluginInfo,
    pub(crate) needs: Needs,
    pub(crate) stage: Arc<Stage>,
    pub(crate) image: Image,
    pub(crate) pre: InstancePre<Call>,
    pub(crate) exports: Exports,
    pub(crate) isolation: Isolation,
    pub(crate) started_from: StartedFrom,
    /// Why there is no snapshot.
    pub(crate) no_snapshot: Option<String>,
    /// Instances that wait for a message: their next one with [`Isolation::Worker`], their only one with
    /// [`StartedFrom::Prepared`]; none otherwise.
    pub(crate) idle: Mutex<Vec<Waiting>>,
    /// Whether instances are being configured ahead.
    pub(crate) preparing: AtomicBool,
}

/// What a new instance needs before it can judge.
pub(crate) enum Image {
    /// Nothing: its memory is the snapshot.
    Configured,
    /// To be configured.
    Plain { config: String },
}

/// Where the exported functions are in the component.
pub(crate) struct Exports {
    lifecycle: lifecycle::GuestIndices,
    message: Option<message_policy::GuestIndices>,
    connect: Option<on_connect::GuestIndices>,
    helo: Option<on_helo::GuestIndices>,
    mail: Option<on_mail::GuestIndices>,
    rcpt: Option<on_rcpt::GuestIndices>,
}

/// An instance and how many messages it has judged.
pub(crate) struct Worker {
    store: Store<Call>,
    instance: Instance,
    judged: u32,
}

/// An instance that waits for a message, and the room that it takes.
pub(crate) struct Waiting {
    worker: Worker,
    _room: OwnedSemaphorePermit,
}

enum Question {
    Decide,
    Hook(Hook),
}

enum Answer {
    Decision(Decision),
    Hook(HookDecision),
}

impl Plugin {
    pub(crate) fn new(prepared: Prepared) -> Self {
        Self(Arc::new(prepared))
    }

    /// Where an instance begins that meets a message.
    #[must_use]
    pub fn started_from(&self) -> StartedFrom {
        self.0.started_from
    }

    /// Why no snapshot could be taken; None when there is one.
    #[must_use]
    pub fn no_snapshot(&self) -> Option<&str> {
        self.0.no_snapshot.as_deref()
    }

    /// Compiled code and initial memory of the plugin, in bytes: in memory once, whatever number of messages use it.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        let image = self.0.pre.component().image_range();
        (image.end as usize).saturating_sub(image.start as usize)
    }

    /// How many instances wait for a message: configured ahead of time, or used before (`isolation = "worker"`).
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("stage", &self.0.stage.name)
            .field("info", &self.0.info)
            .field("started_from", &self.0.started_from)
            .finish_non_exhaustive()
    }
}

impl Policy for Plugin {
    fn info(&self) -> &PluginInfo {
        &self.0.info
    }

    fn needs(&self) -> Needs {
        self.0.needs
    }

    fn decide(&self, message: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Called<Decision>> {
        Box::pin(async move {
            let Called { outcome, used } = self.0.ask(Question::Decide, message, deadline).await;
            let outcome = outcome.and_then(|answer| match answer {
                Answer::Decision(decision) => Ok(decision),
                Answer::Hook(_) => Err(Failure::new(Cause::Refused, "answered a hook in place of a message")),
            });
            Called { outcome, used }
        })
    }

    fn hook(&self, hook: Hook, so_far: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Called<HookDecision>> {
        Box::pin(async move {
            let Called { outcome, used } = self.0.ask(Question::Hook(hook), so_far, deadline).await;
            let outcome = outcome.and_then(|answer| match answer {
                Answer::Hook(decision) => Ok(decision),
                Answer::Decision(_) => Err(Failure::new(Cause::Refused, "judged a message in place of a hook")),
            });
            Called { outcome, used }
        })
    }
}

impl Prepared {
    /// The life of one call: slot, instance, question, answer, and the instance dropped or kept for the next message.
    ///
    /// Bounded twice: the clock ends a guest that computes past the deadline, even where timers are late; the timer
    /// ends one that waits for the host. A future that is dropped takes its instance with it.
    async fn ask(
        self: &Arc<Self>,
        question: Question,
        message: Arc<ParsedMessage>,
        deadline: Deadline,
    ) -> Called<Answer> {
        let meter = Meter::default();
        let outcome = self.ask_metered(&meter, question, message, deadline).await;
        Called { outcome, used: meter.total() }
    }

    async fn ask_metered(
        self: &Arc<Self>,
        meter: &Meter,
        question: Question,
        message: Arc<ParsedMessage>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        if deadline.passed() {
            // The stage's limit, mostly: a busy worker came to the call too late. `Cause::Deadline` is for the pipeline to say.
            return Err(Failure::new(Cause::Timeout, "the time limit passed before the plugin was called"));
        }
        let _slot = self.sandbox.enter()?;
        let call = meter.measure(async {
            let mut worker = match self.take_waiting() {
                Some(worker) => worker,
                None => self.start(deadline, Some(meter)).await?,
            };
            worker.store.data_mut().begin(message, deadline, meter.clone());
            let answer = self.put(question, &mut worker).await;
            worker.store.data().account(meter);
            let answer = answer?;
            worker.store.data_mut().end();
            Ok((answer, worker))
        });
        let (answer, worker) = match tokio::time::timeout_at(deadline.instant().into(), call).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Failure::limit(Limit::Timeout, Stop::Expired.to_string())),
        };
        self.keep(worker);
        Ok(answer)
    }

    /// An instance that waits for a message, which now has it alone.
    fn take_waiting(self: &Arc<Self>) -> Option<Worker> {
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.prepare_more();
        taken.map(|waiting| waiting.worker)
    }

    /// Has instances configured for the messages to come, one after the other, beside whatever this thread does.
    fn prepare_more(self: &Arc<Self>) {
        if self.started_from != StartedFrom::Prepared || self.preparing.swap(true, Ordering::AcqRel) {
            return;
        }
        let preparing = Preparing(Arc::downgrade(self));
        tokio::spawn(async move {
            // Nobody may want the plugin any more by the time an instance is ready.
            while let Some(plugin) = preparing.0.upgrade()
                && plugin.prepare_one().await
            {}
        });
    }

    /// Configures an instance ahead of time. False when enough wait, there is no room, or it can not be done; the next
    /// message then starts its own instance, and says why it can not.
    pub(crate) async fn prepare_one(&self) -> bool {
        if self.idle.lock().unwrap_or_else(PoisonError::into_inner).len() >= AHEAD {
            return false;
        }
        let Some(room) = self.sandbox.room_to_wait() else { return false };
        let _running = self.sandbox.run_clock();
        let deadline = Deadline::after(CONFIGURE);
        match tokio::time::timeout_at(deadline.instant().into(), self.start(deadline, None)).await {
            Ok(Ok(worker)) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { worker, _room: room });
                true
            }
            Ok(Err(failure)) => {
                tracing::debug!(stage = &*self.stage.name, %failure, "no instance could be configured ahead of time");
                false
            }
            Err(_) => {
                tracing::debug!(stage = &*self.stage.name, "configuring an instance ahead of time took too long");
                false
            }
        }
    }

    /// A new instance, configured.
    async fn start(&self, deadline: Deadline, meter: Option<&Meter>) -> Result<Worker, Failure> {
        let mut call = Call::new(Arc::clone(&self.stage), Phase::Configure { touched: false }, deadline);
        call.meter = meter.cloned();
        let mut store = call::store(self.sandbox.engine(), call);
        let started = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            if let Image::Plain { config } = &self.image {
                let guest = self.exports.lifecycle.load(&mut store, &instance)?;
                return Ok((instance, guest.call_configure(&mut store, config).await?));
            }
            Ok((instance, Ok(())))
        };
        match started.await {
            Ok((instance, Ok(()))) => Ok(Worker { store, instance, judged: 0 }),
            Ok((_, Err(problems))) => {
                let detail = format!("rejected its configuration with {} problems", problems.len());
                Err(Failure::new(Cause::Configure, detail))
            }
            Err(error) => Err(classify(&error, &store.data().memory)),
        }
    }

    /// Asks the guest and converts what it answers.
    async fn put(&self, question: Question, worker: &mut Worker) -> Result<Answer, Failure> {
        let Worker { store, instance, .. } = worker;
        let answered = self.exports.call(question, store, instance).await;
        let answered = answered.and_then(|raw| store.data().within_calls().map(|()| raw).map_err(Into::into));
        match answered {
            Ok(Raw::Decision(answer)) => convert::decision(answer, store.data_mut()).map(Answer::Decision),
            Ok(Raw::Hook(answer)) => convert::hook_decision(answer, store.data()).map(Answer::Hook),
            Err(error) => Err(classify(&error, &store.data().memory)),
        }
    }

    /// Keeps a worker for its next message, when it may have one and there is room to wait.
    fn keep(&self, mut worker: Worker) {
        let Isolation::Worker { messages } = self.isolation else { return };
        worker.judged = worker.judged.saturating_add(1);
        if worker.judged < messages
            && let Some(room) = self.sandbox.room_to_wait()
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Waiting { worker, _room: room });
        }
    }
}

/// Instances are being configured ahead, until this is dropped.
struct Preparing(Weak<Prepared>);

impl Drop for Preparing {
    fn drop(&mut self) {
        if let Some(plugin) = self.0.upgrade() {
            plugin.preparing.store(false, Ordering::Release);
        }
    }
}

/// What the guest answered, as wasmtime gives it.
enum Raw {
    Decision(Result<message_policy::Decision, types::Failure>),
    Hook(Result<hook_types::HookDecision, types::Failure>),
}

impl Exports {
    /// Looks up what `phases` says is exported, and checks its types.
    pub(crate) fn find(pre: &InstancePre<Call>, phases: Needs) -> wasmtime::Result<Self> {
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(pre)?,
            message: phases.message.then(|| message_policy::GuestIndices::new(pre)).transpose()?,
            connect: phases.connect.then(|| on_connect::GuestIndices::new(pre)).transpose()?,
            helo: phases.helo.then(|| on_helo::GuestIndices::new(pre)).transpose()?,
            mail: phases.mail.then(|| on_mail::GuestIndices::new(pre)).transpose()?,
            rcpt: phases.rcpt.then(|| on_rcpt::GuestIndices::new(pre)).transpose()?,
        })
    }

    async fn call(&self, question: Question, store: &mut Store<Call>, instance: &Instance) -> wasmtime::Result<Raw> {
        let absent = || Stop::Misuse("the plugin does not export what it was asked".to_owned());
        Ok(match question {
            Question::Decide => {
                let guest = self.message.as_ref().ok_or_else(absent)?.load(&mut *store, instance)?;
                Raw::Decision(guest.call_decide(store).await?)
            }
            Question::Hook(Hook::Connect) => {
                let guest = self.connect.as_ref().ok_or_else(absent)?.load(&mut *store, instance)?;
                Raw::Hook(guest.call_connect(store).await?)
            }
            Question::Hook(Hook::Helo) => {
                let guest = self.helo.as_ref().ok_or_else(absent)?.load(&mut *store, instance)?;
                Raw::Hook(guest.call_helo(store).await?)
            }
            Question::Hook(Hook::Mail) => {
                let guest = self.mail.as_ref().ok_or_else(absent)?.load(&mut *store, instance)?;
                Raw::Hook(guest.call_mail(store).await?)
            }
            Question::Hook(Hook::Rcpt(recipient)) => {
                let guest = self.rcpt.as_ref().ok_or_else(absent)?.load(&mut *store, instance)?;
                Raw::Hook(guest.call_rcpt(store, &capabilities::mailbox(&recipient)).await?)
            }
        })
    }
}
