//! The engine that all plugins share, and its settings.

use crate::{
    cache::Cache,
    limiter::TABLE_ENTRIES,
    ticker::{Running, Ticker},
};
use std::{fmt, path::PathBuf, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmilter_message::{
    body::{BodyStore, InMemory},
    failure::Failure,
    limit::Limit,
};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy};

/// Size of a page of linear memory.
pub(crate) const PAGE: u64 = 1 << 16;

/// Instances beyond those that judge messages or wait to: for loading and configuring while mail flows.
const SCRATCH: u32 = 16;

/// Core instances in one component: its modules, adapters and shims. Python has 38, other language runtimes up to some 20.
const INSTANCES: u32 = 64;

/// Linear memories in one component. Tool chains make one.
const MEMORIES: u32 = 2;

/// Tables in one component: that of its program and one for each kind of adapter.
const TABLES: u32 = 8;

/// What the host's functions need of a guest's stack on top of what the guest may use.
const HOST_STACK: usize = 2 << 20;

/// Of a slot's linear memory; `benches/starts.rs` says why.
const KEPT_RESIDENT: usize = 256 << 10;

/// How the sandbox is set up.
#[derive(Clone)]
pub struct SandboxSettings {
    /// How many calls may be under way at the same time; one more fails with `overload`.
    pub slots: u32,
    /// Directory for compiled code; made when missing, private to this user. None: compile at every start.
    pub cache: Option<PathBuf>,
    /// Whether to write `/tmp/perf-PID.map`, by which `perf` names the functions of plugins.
    pub perf_map: bool,
    /// The largest memory that any stage grants, in bytes. Address space is set aside for it in every slot.
    pub memory_max: u64,
    /// Linear memory in bytes, per slot, that stays with the process between two messages instead of being given back to the system.
    /// Only with PAGEMAP_SCAN (Linux 6.7): without, wiping it costs more than it saves, and nothing stays.
    pub kept_resident: usize,
    /// Stack of a guest in bytes.
    pub stack: usize,
    /// Where blobs go that plugins write.
    pub bodies: Arc<dyn BodyStore>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            slots: 256,
            cache: None,
            perf_map: false,
            kept_resident: KEPT_RESIDENT,
            memory_max: 256 << 20,
            stack: 512 << 10,
            bodies: Arc::new(InMemory),
        }
    }
}

impl fmt::Debug for SandboxSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxSettings")
            .field("slots", &self.slots)
            .field("cache", &self.cache)
            .field("perf_map", &self.perf_map)
            .field("memory_max", &self.memory_max)
            .field("kept_resident", &self.kept_resident)
            .field("stack", &self.stack)
            .finish_non_exhaustive()
    }
}

/// The engine, its clock, and the slots for instances. Cheap to clone; lives as long as anything that was loaded in it.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    ticker: Ticker,
    cache: Option<Cache>,
    calls: Arc<Semaphore>,
    idle: Arc<Semaphore>,
    slots: usize,
    memory_max: u64,
    bodies: Arc<dyn BodyStore>,
}

/// How full the sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Calls that there is room for; and as many instances that wait.
    pub slots: usize,
    /// Calls under way.
    pub calls: usize,
    /// Instances that wait for a message: configured ahead of time, or used before.
    pub waiting: usize,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The settings make no sense or the system does not give what they ask for.
    #[error("setting up the WebAssembly engine: {0}")]
    Engine(String),
    /// The directory for compiled code can not be used.
    #[error("the directory for compiled code, {path}: {reason}")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that advances the clock could not be started.
    #[error("starting the sandbox's clock: {0}")]
    Clock(std::io::Error),
}

impl Sandbox {
    /// Sets up the engine.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn new(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        let engine = engine(settings).map_err(|error| SandboxError::Engine(format!("{error:#}")))?;
        let cache = match &settings.cache {
            Some(path) => Some(
                Cache::open(path, &engine)
                    .map_err(|error| SandboxError::Cache { path: path.clone(), reason: error.to_string() })?,
            ),
            None => None,
        };
        let ticker = Ticker::start(engine.clone()).map_err(SandboxError::Clock)?;
        let slots = usize::try_from(settings.slots).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Inner {
            engine,
            ticker,
            cache,
            calls: Arc::new(Semaphore::new(slots)),
            idle: Arc::new(Semaphore::new(slots)),
            slots,
            memory_max: settings.memory_max,
            bodies: Arc::clone(&settings.bodies),
        })))
    }

    /// How full it is.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let Inner { calls, idle, slots, .. } = &*self.0;
        Occupancy {
            slots: *slots,
            calls: slots.saturating_sub(calls.available_permits()),
            waiting: slots.saturating_sub(idle.available_permits()),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn memory_max(&self) -> u64 {
        self.0.memory_max
    }

    pub(crate) fn bodies(&self) -> Arc<dyn BodyStore> {
        Arc::clone(&self.0.bodies)
    }

    /// Compiles a component, or takes the compiled code from the cache.
    pub(crate) fn compile(&self, wasm: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
        match &self.0.cache {
            Some(cache) => cache.compiled(&self.0.engine, wasm),
            None => wasmtime::component::Component::from_binary(&self.0.engine, wasm),
        }
    }

    /// A slot for a call, and a running clock.
    pub(crate) fn enter(&self) -> Result<Slot<'_>, Failure> {
        let permit = Arc::clone(&self.0.calls)
            .try_acquire_owned()
            .map_err(|_| Failure::limit(Limit::Sandboxes, "all slots of the sandbox are taken"))?;
        Ok(Slot { _permit: permit, _running: self.0.ticker.run() })
    }

    /// The clock alone, for work that is not a message.
    pub(crate) fn run_clock(&self) -> Running<'_> {
        self.0.ticker.run()
    }

    /// Room for an instance that waits for its next message; None when there is none left.
    pub(crate) fn room_to_wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.idle).try_acquire_owned().ok()
    }
}

/// One call is under way.
pub(crate) struct Slot<'a> {
    _permit: OwnedSemaphorePermit,
    _running: Running<'a>,
}

fn engine(settings: &SandboxSettings) -> wasmtime::Result<Engine> {
    // As many instances judge messages as wait for their next one (`Isolation::Worker`), at most.
    let live = settings.slots.saturating_mul(2).saturating_add(SCRATCH);
    let kept_resident = if PoolingAllocationConfig::is_pagemap_scan_available() { settings.kept_resident } else { 0 };
    let memory = usize::try_from(settings.memory_max.saturating_add(16 * PAGE))?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(live)
        .total_core_instances(live.saturating_mul(INSTANCES))
        .total_memories(live.saturating_mul(MEMORIES))
        .total_tables(live.saturating_mul(TABLES))
        // So that a component that wants more fails when it is loaded, instead of taking the room of others.
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .total_stacks(live)
        .table_elements(TABLE_ENTRIES)
        .max_memory_size(memory)
        .linear_memory_keep_resident(kept_resident)
        .table_keep_resident(if kept_resident == 0 { 0 } else { 64 << 10 })
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .max_wasm_stack(settings.stack)
        .async_stack_size(settings.stack.saturating_add(HOST_STACK));
    if settings.perf_map {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    Engine::new(&config)
}
