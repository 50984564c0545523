//! What the host keeps for one instance while it is called: the message at hand, what was used, what is open.

use crate::{
    capabilities::wasi::Wasi,
    failure::Stop,
    limiter::MemoryLimiter,
    meter::Meter,
    stage::{Limits, Stage},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};
use wasmilter_message::{
    body::BodyWriter,
    deadline::Deadline,
    limit::Limit,
    message::{ParsedMessage, Transaction},
    service::Connection,
};
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};

/// The data of a store: what the functions in `capabilities/` work on.
pub(crate) struct Call {
    pub(crate) stage: Arc<Stage>,
    pub(crate) phase: Phase,
    pub(crate) message: Arc<ParsedMessage>,
    pub(crate) deadline: Deadline,
    /// Processor time of a message's call; None when only the clock on the wall counts.
    pub(crate) meter: Option<Meter>,
    pub(crate) usage: Usage,
    /// Shared with the streams that the guest prints to.
    pub(crate) written: Arc<Written>,
    /// By id; None once it was taken for the decision.
    pub(crate) blobs: Vec<Blob>,
    pub(crate) streams: BTreeMap<u32, Box<dyn Connection>>,
    pub(crate) memory: MemoryLimiter,
    /// Made when the guest calls WASI first; most never do.
    pub(crate) wasi: Option<Box<Wasi>>,
}

/// What the guest is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `lifecycle.describe`: calls no import.
    Describe,
    /// Being instantiated or `lifecycle.configure`; `touched` says whether it called an import.
    Configure {
        /// Whether an import was called, so that the memory may refer to something outside of it.
        touched: bool,
    },
    /// A message or a hook.
    Judge,
}

/// What a call has used of its limits.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) host_calls: u64,
    pub(crate) output_bytes: u64,
    pub(crate) service_bytes: u64,
    pub(crate) streams_opened: u32,
    pub(crate) dns_queries: u32,
    pub(crate) store_calls: u32,
}

/// What a call has written to the log, by `log` and by what it printed.
#[derive(Debug, Default)]
pub(crate) struct Written {
    lines: AtomicU32,
    bytes: AtomicUsize,
}

impl Written {
    fn reset(&self) {
        self.lines.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// The limit that was passed, if one was. What a guest prints beyond it is dropped without ending the call.
    pub(crate) fn passed(&self, limits: &Limits) -> Option<Limit> {
        if self.lines.load(Ordering::Relaxed) > limits.log_lines {
            return Some(Limit::LogLines);
        }
        (self.bytes.load(Ordering::Relaxed) > limits.log_bytes).then_some(Limit::LogBytes)
    }

    /// Counts a line.
    ///
    /// # Errors
    /// The limit, when the line must not be written.
    pub(crate) fn line(&self, line: &str, limits: &Limits) -> Result<(), Stop> {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if lines > limits.log_lines {
            return Err(Stop::Limit { limit: Limit::LogLines, most: u64::from(limits.log_lines) });
        }
        let bytes = self.bytes.fetch_add(line.len(), Ordering::Relaxed).saturating_add(line.len());
        if bytes > limits.log_bytes {
            return Err(Stop::Limit { limit: Limit::LogBytes, most: limits.log_bytes as u64 });
        }
        Ok(())
    }
}

/// Content that the guest is writing.
pub(crate) enum Blob {
    /// Still open.
    Writing(Box<dyn BodyWriter>),
    /// Ended, because the decision names it.
    Written(Bytes),
    /// Could not be ended.
    Lost(String),
}

impl Call {
    pub(crate) fn new(stage: Arc<Stage>, phase: Phase, deadline: Deadline) -> Self {
        let memory = MemoryLimiter::new(stage.limits.memory);
        Self {
            stage,
            phase,
            message: Arc::new(ParsedMessage::without_content(Transaction::default())),
            deadline,
            meter: None,
            usage: Usage::default(),
            written: Arc::default(),
            blobs: Vec::new(),
            streams: BTreeMap::new(),
            memory,
            wasi: None,
        }
    }

    /// Makes ready for a message: nothing of an earlier one is left.
    pub(crate) fn begin(&mut self, message: Arc<ParsedMessage>, deadline: Deadline, meter: Meter) {
        self.phase = Phase::Judge;
        self.meter = Some(meter);
        self.message = message;
        self.deadline = deadline;
        self.usage = Usage::default();
        self.memory.forget();
        self.written.reset();
    }

    /// Lets go of everything that belonged to the message.
    pub(crate) fn end(&mut self) {
        self.message = Arc::new(ParsedMessage::without_content(Transaction::default()));
        self.blobs.clear();
        self.streams.clear();
    }

    /// Every imported function begins with this: it counts, and it knows when the guest may not call anything.
    ///
    /// # Errors
    /// The limit, or that this is not the time.
    pub(crate) fn charge(&mut self) -> wasmtime::Result<()> {
        let limits = self.stage.limits;
        let counted = limits.one_more_call(&mut self.usage);
        match &mut self.phase {
            Phase::Describe => {
                return Err(Stop::Misuse("describe must not call imports".to_owned()).into());
            }
            Phase::Configure { touched } => *touched = true,
            Phase::Judge => {}
        }
        if counted { Ok(()) } else { Ok(self.within_calls()?) }
    }

    /// Whether more functions were called than may be. WASI's functions are counted and can not fail by it, so that this
    /// is also asked at every tick of the clock and before an answer counts.
    ///
    /// # Errors
    /// The limit.
    pub(crate) fn within_calls(&self) -> Result<(), Stop> {
        let limit = self.stage.limits.host_calls;
        if self.usage.host_calls <= limit {
            return Ok(());
        }
        Err(Stop::Limit { limit: Limit::HostCalls, most: limit })
    }

    /// Whether the guest has computed for longer than it may.
    ///
    /// # Errors
    /// The limit.
    fn within_cpu(&self) -> Result<(), Stop> {
        let limit = self.stage.limits.cpu;
        match &self.meter {
            Some(meter) if meter.spent() > limit => Err(Stop::Cpu { limit }),
            _ => Ok(()),
        }
    }

    /// Writes down what is known only at the end.
    pub(crate) fn account(&self, meter: &Meter) {
        meter.has_memory(self.memory.used());
        if let Some(limit) = self.written.passed(&self.stage.limits) {
            meter.refused(limit);
        }
    }

    /// The guest is told that it has passed `limit`, and goes on.
    pub(crate) fn refuse(&self, limit: Limit) {
        if let Some(meter) = &self.meter {
            meter.refused(limit);
        }
    }

    /// Whether an import was called while the guest was configured.
    pub(crate) fn touched(&self) -> bool {
        self.phase == Phase::Configure { touched: true }
    }
}

/// A store for one instance, with every bound that a call has.
pub(crate) fn store(engine: &Engine, call: Call) -> Store<Call> {
    let inline_bytes = call.stage.limits.inline_bytes;
    let mut store = Store::new(engine, call);
    store.limiter(|call| &mut call.memory);
    store.set_hostcall_fuel(inline_bytes);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(on_tick);
    store
}

/// How often the others' tasks and what has arrived for them are looked at when a guest has had the thread for a tick. With nothing to do
/// all of it takes some microseconds.
const STEPS_OF_OTHERS: u32 = 4;

/// Called at every tick of the clock while the guest runs: ends it after its deadline, and otherwise lets others have
/// the thread. `yield_now` of tokio and not wasmtime's own way of yielding, which starves the arbiter's other work.
#[allow(clippy::needless_pass_by_value, reason = "the signature is wasmtime's")]
fn on_tick(store: StoreContextMut<'_, Call>) -> wasmtime::Result<UpdateDeadline> {
    if store.data().deadline.passed() {
        return Err(Stop::Expired.into());
    }
    store.data().within_calls()?;
    store.data().within_cpu()?;
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(let_others())))
}

/// Lets others have the thread, not only for one step: a message goes through several tasks (its session, the stage's actor), and
/// each of them would wait for the guest anew.
async fn let_others() {
    for _step in 0..STEPS_OF_OTHERS {
        tokio::task::yield_now().await;
    }
}
