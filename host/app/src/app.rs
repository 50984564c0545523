//! The daemon: every part of it, built in one place.

use crate::{
    config::{Config, diagnostic::Diagnostics, source::Source},
    in_force::InForce,
    metrics::ConfigMetrics,
    otlp::SpanMetrics,
    parts::{Parts, Purpose},
    reload::{self, Reloader, Request},
    stages::StageSummary,
    trial::{self, Outcome, Trial},
};
use prometheus::Registry;
use std::sync::Arc;
use tokio::sync::mpsc;
use wasmilter_message::{body::BodyStore, policy::Policy};
use wasmilter_pipeline::Pipeline;
use wasmilter_services::{ResolverMetrics, ServiceMetrics, StoreMetrics};
use wasmilter_wasm::{Outside, SandboxError};

/// Everything but the doors: configuration, metrics, spool, services, sandbox, stages. Nothing runs yet.
pub struct App {
    pub(crate) process: Arc<Process>,
    pub(crate) parts: Parts,
    pub(crate) reloader: Reloader,
    pub(crate) requests: mpsc::Receiver<Request>,
}

/// What lives as long as the process, and reloads keep.
pub(crate) struct Process {
    pub(crate) registry: Registry,
    pub(crate) config_metrics: ConfigMetrics,
    pub(crate) in_force: InForce,
    pub(crate) span_metrics: SpanMetrics,
    pub(crate) milter_metrics: Arc<wasmilter_milter::Metrics>,
    pub(crate) pipeline_metrics: Arc<wasmilter_pipeline::Metrics>,
    pub(crate) service_metrics: Arc<ServiceMetrics>,
    pub(crate) resolver_metrics: Arc<ResolverMetrics>,
    pub(crate) store_metrics: Arc<StoreMetrics>,
    /// Stands for what no stage was granted.
    pub(crate) nothing: Outside,
}

/// Why there is no app.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// The configuration has mistakes: all of them.
    #[error("{0}")]
    Config(Diagnostics),
    /// The sandbox can not be set up on this machine.
    #[error(transparent)]
    Sandbox(Arc<SandboxError>),
    /// Two parts want the same metric: a defect of ours.
    #[error("metrics: {0}")]
    Metrics(Arc<prometheus::Error>),
}

impl From<SandboxError> for BuildError {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(Arc::new(error))
    }
}

impl From<prometheus::Error> for BuildError {
    fn from(error: prometheus::Error) -> Self {
        Self::Metrics(Arc::new(error))
    }
}

impl App {
    /// Builds every part that the configuration asks for, to take mail. Opens no listener and starts no thread that judges.
    /// Blocks, for seconds when plugins have to be compiled.
    ///
    /// # Errors
    /// See [`BuildError`]. Mistakes of the text and of what it names are reported together.
    pub fn build(source: &Source) -> Result<Self, BuildError> {
        Self::build_for(source, Purpose::Serve)
    }

    /// The same to look at the configuration or to try messages, perhaps beside a daemon that runs by it: the store is an empty one
    /// in memory, whatever file the configuration names.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build_aside(source: &Source) -> Result<Self, BuildError> {
        Self::build_for(source, Purpose::Look)
    }

    fn build_for(source: &Source, purpose: Purpose) -> Result<Self, BuildError> {
        let process = Process::register(Registry::new())?;
        let parts = Parts::build(source, &process, purpose, None)?;
        process.config_metrics.loaded();
        let (reloader, requests) = reload::channel();
        Ok(Self { process: Arc::new(process), parts, reloader, requests })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// What the stages turned out to be, in order.
    #[must_use]
    pub fn stages(&self) -> &[StageSummary] {
        &self.parts.prepared.summaries
    }

    /// What is allowed and most likely not meant.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.parts.warnings
    }

    /// Puts another plugin in the place of a stage's, until a reload makes that stage anew: for tests, which need one that fails as no
    /// plugin in a sandbox can.
    pub fn replace_policy(&mut self, stage: &str, policy: &Arc<dyn Policy>) {
        for prepared in self.parts.prepared.stages.iter_mut().filter(|prepared| &*prepared.name == stage) {
            prepared.policy = Arc::clone(policy);
        }
    }

    /// The same for where bodies are kept.
    pub fn replace_bodies(&mut self, bodies: Arc<dyn BodyStore>) {
        self.parts.bodies.part = bodies;
    }

    /// Asks for reloads while the app serves.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Runs one message through the pipeline, in the current thread, which must run an actix system.
    pub async fn try_message(&self, message: Trial) -> Outcome {
        let pipeline = self.start_pipeline(&[]);
        let bodies = self.parts.bodies.part.as_ref();
        let outcome = trial::run(pipeline.judge(0).as_ref(), bodies, &self.parts.milter_settings(), message).await;
        pipeline.stop().await;
        outcome
    }

    pub(crate) fn start_pipeline(&self, workers: &[actix_rt::ArbiterHandle]) -> Pipeline {
        let Parts { prepared, bodies, .. } = &self.parts;
        let metrics = Arc::clone(&self.process.pipeline_metrics);
        let bodies = Arc::clone(&bodies.part);
        Pipeline::start(prepared.plan(), self.parts.pipeline_limits(), bodies, metrics, workers)
    }
}

impl Process {
    fn register(registry: Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            config_metrics: ConfigMetrics::register(&registry)?,
            in_force: InForce::register(&registry)?,
            span_metrics: SpanMetrics::register(&registry)?,
            milter_metrics: Arc::new(wasmilter_milter::Metrics::register(&registry)?),
            pipeline_metrics: wasmilter_pipeline::Metrics::register(&registry)?,
            service_metrics: ServiceMetrics::register(&registry)?,
            resolver_metrics: ResolverMetrics::register(&registry)?,
            store_metrics: StoreMetrics::register(&registry)?,
            nothing: Outside::nothing(),
            registry,
        })
    }
}
