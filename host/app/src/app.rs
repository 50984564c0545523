//! The daemon: every part of it, built in one place.

use crate::{
    config::{Config, Service, diagnostic::Diagnostics, source::Source},
    metrics::ConfigMetrics,
    stages::{self, StageSummary},
    trial::{self, Outcome, Trial},
};
use prometheus::Registry;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use wasmilter_message::body::BodyStore;
use wasmilter_pipeline::{Limits, Pipeline, Stage};
use wasmilter_services::{NamedServices, ServiceSettings};
use wasmilter_spool::{Spool, SpoolSettings};
use wasmilter_wasm::{Outside, Sandbox, SandboxError, SandboxSettings};

/// Everything but the doors: configuration, metrics, spool, services, sandbox, stages. Nothing runs yet.
pub struct App {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn BodyStore>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) summaries: Vec<StageSummary>,
    pub(crate) milter_metrics: Arc<wasmilter_milter::Metrics>,
    pub(crate) pipeline_metrics: Arc<wasmilter_pipeline::Metrics>,
    /// Keeps the engine's clock for as long as stages may run.
    _sandbox: Sandbox,
}

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration has mistakes: all of them.
    #[error("{0}")]
    Config(Diagnostics),
    /// The sandbox can not be set up on this machine.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Two parts want the same metric: a defect of ours.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// How long a message waits for room before its sender is told to come again later.
const PERMIT_WAIT: Duration = Duration::from_millis(250);
/// However small messages must be, stages can write notices and disclaimers of this size, in bytes.
const ROOM_FOR_CHANGES: u64 = 1 << 20;
/// Calls of the sandbox beyond one for every message in flight: calls that were given up still end.
const SPARE_SLOTS: u32 = 16;

impl App {
    /// Builds every part that the configuration asks for. Opens no listener and starts no thread that judges. Blocks, for
    /// seconds when plugins have to be compiled.
    ///
    /// # Errors
    /// See [`BuildError`]. Mistakes of the text and of what it names are reported together.
    pub fn build(source: &Source) -> Result<Self, BuildError> {
        let (config, mut mistakes) = Config::parse(source);

        let registry = Registry::new();
        let config_metrics = ConfigMetrics::register(&registry)?;
        let milter_metrics = Arc::new(wasmilter_milter::Metrics::register(&registry)?);
        let pipeline_metrics = wasmilter_pipeline::Metrics::register(&registry)?;

        let store = open_store(&config, &mut mistakes);

        let services = Arc::new(NamedServices::new(service_settings(&config.services), &registry)?);
        let outside = Outside { services, ..Outside::nothing() };

        let sandbox = open_sandbox(&config, Arc::clone(&store))?;

        let prepared = stages::prepare(&config, &sandbox, &outside, &mut mistakes);
        let (stages, summaries) = prepared.into_iter().unzip();

        if !mistakes.is_empty() {
            return Err(BuildError::Config(mistakes));
        }
        config_metrics.loaded();
        Ok(Self { config, registry, store, stages, summaries, milter_metrics, pipeline_metrics, _sandbox: sandbox })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the stages turned out to be, in order.
    #[must_use]
    pub fn stages(&self) -> &[StageSummary] {
        &self.summaries
    }

    /// Runs one message through the pipeline, in the current thread, which must run an actix system.
    pub async fn try_message(&self, message: Trial) -> Outcome {
        let pipeline = self.start_pipeline(&[]);
        let outcome =
            trial::run(pipeline.judge(0).as_ref(), self.store.as_ref(), &self.milter_settings(), message).await;
        pipeline.stop().await;
        outcome
    }

    pub(crate) fn start_pipeline(&self, workers: &[actix_rt::ArbiterHandle]) -> Pipeline {
        let limits = Limits {
            in_flight: usize::try_from(self.config.limits.in_flight).unwrap_or(usize::MAX),
            message_deadline: self.config.limits.message_deadline,
            permit_wait: PERMIT_WAIT,
        };
        let metrics = Arc::clone(&self.pipeline_metrics);
        Pipeline::start(self.stages.clone(), limits, Arc::clone(&self.store), metrics, workers)
    }

    pub(crate) fn milter_settings(&self) -> wasmilter_milter::Settings {
        let limits = &self.config.limits;
        wasmilter_milter::Settings {
            message_size: limits.message_size,
            idle: self.config.milter.idle_timeout,
            // The pipeline keeps the deadline; the door is only there should it not.
            judgement: limits.message_deadline.saturating_add(Duration::from_secs(10)),
            drain: limits.shutdown,
            ..wasmilter_milter::Settings::default()
        }
    }
}

fn open_store(config: &Config, mistakes: &mut Diagnostics) -> Arc<dyn BodyStore> {
    let settings = SpoolSettings {
        directory: config.spool.directory.as_ref().map(|directory| directory.value.clone()),
        in_memory: config.limits.body_in_memory,
        // What a stage makes of a message may be larger: encrypted, it grows by more than a third.
        max: config.limits.message_size.saturating_mul(2).max(ROOM_FOR_CHANGES),
    };
    match Spool::open(settings) {
        Ok(spool) => Arc::new(spool),
        Err(error) => {
            let written = config.spool.directory.as_ref().map(|directory| directory.at.clone());
            mistakes.add(&written.unwrap_or_else(|| Config::spot_of_whole("spool.directory")), error.to_string(), None);
            Arc::new(wasmilter_message::body::InMemory)
        }
    }
}

fn service_settings(services: &BTreeMap<String, Service>) -> BTreeMap<String, ServiceSettings> {
    let settings = |service: &Service| ServiceSettings {
        address: service.address.clone(),
        timeout: service.timeout,
        connections: usize::try_from(service.connections).unwrap_or(usize::MAX),
    };
    services.iter().map(|(name, service)| (name.clone(), settings(service))).collect()
}

fn open_sandbox(config: &Config, bodies: Arc<dyn BodyStore>) -> Result<Sandbox, SandboxError> {
    let settings = SandboxSettings {
        slots: config.limits.in_flight.saturating_add(SPARE_SLOTS),
        cache: Some(config.sandbox.cache.clone()),
        memory_max: config.stages.iter().map(|stage| stage.memory).max().unwrap_or(LEAST_MEMORY).max(LEAST_MEMORY),
        bodies,
        ..SandboxSettings::default()
    };
    match Sandbox::new(&settings) {
        // A cache saves time and nothing else: its loss is no reason not to take mail.
        Err(error @ SandboxError::Cache { .. }) => {
            tracing::warn!(%error, "plugins are compiled anew at every start");
            Sandbox::new(&SandboxSettings { cache: None, ..settings })
        }
        other => other,
    }
}

/// Plugins are described in scratch instances that no stage limits.
const LEAST_MEMORY: u64 = 64 << 20;
