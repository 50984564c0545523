//! Metrics of the configuration in force: its stages, its limits, its sandbox.

use crate::parts::Parts;
use prometheus::{
    IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmilter_wasm::Sandbox;

/// What the configuration in force made of stages and limits.
pub(crate) struct InForce {
    info: IntGaugeVec,
    image: IntGaugeVec,
    memory: IntGaugeVec,
    slots: IntGaugeVec,
    in_flight: IntGauge,
    /// Labels of `info` that are shown.
    shown: Mutex<Vec<[String; 5]>>,
    sandbox: Arc<Mutex<Option<Sandbox>>>,
}

impl InForce {
    /// # Errors
    /// When the registry has them already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name, help, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let sandbox = Arc::default();
        registry.register(Box::new(SandboxGauges::new(Arc::clone(&sandbox))?))?;
        let in_flight = IntGauge::new(
            "wasmilter_messages_in_flight_limit",
            "Permits of the gate (limits.in_flight): messages and hooks that may be judged at one time.",
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self {
            info: gauges(
                "wasmilter_stage_info",
                "Always 1; the labels say what the stage is: its plugin as configured and as it calls itself, what messages \
                 start from, whether its decisions count.",
                &["stage", "plugin", "version", "started_from", "mode"],
            )?,
            image: gauges(
                "wasmilter_stage_image_bytes",
                "Compiled code and initial memory of the stage's plugin, in memory once for all messages.",
                &["stage"],
            )?,
            memory: gauges(
                "wasmilter_stage_memory_limit_bytes",
                "The most linear memory that a call's instance may have (stage.memory).",
                &["stage"],
            )?,
            slots: gauges(
                "wasmilter_stage_slots",
                "Calls of the stage's plugin that may run at one time (stage.concurrency).",
                &["stage"],
            )?,
            in_flight,
            shown: Mutex::default(),
            sandbox,
        })
    }

    /// Shows these parts, and no longer those before them.
    pub(crate) fn show(&self, parts: &Parts) {
        self.in_flight.set(count(parts.pipeline_limits().in_flight));
        let mut new = Vec::new();
        for summary in &parts.prepared.summaries {
            let stage = summary.name.as_str();
            self.image.with_label_values(&[stage]).set(count(summary.image_bytes));
            if let Some(configured) = parts.config.stages.iter().find(|configured| configured.name == stage) {
                let memory = i64::try_from(configured.limits.memory).unwrap_or(i64::MAX);
                self.memory.with_label_values(&[stage]).set(memory);
                self.slots.with_label_values(&[stage]).set(i64::from(configured.concurrency));
            }
            let [plugin, version] = [&summary.plugin, &summary.version].map(Clone::clone);
            let labels = [stage.to_owned(), plugin, version, summary.started_from.to_owned(), summary.mode.to_owned()];
            self.info.with_label_values(&labels).set(1);
            new.push(labels);
        }
        let old = std::mem::replace(&mut *locked(&self.shown), new.clone());
        for gone in old.iter().filter(|labels| !new.contains(labels)) {
            drop_series(&self.info, gone);
            let [stage, ..] = gone;
            if !new.iter().any(|[kept, ..]| kept == stage) {
                for gauges in [&self.image, &self.memory, &self.slots] {
                    drop_series(gauges, std::slice::from_ref(stage));
                }
            }
        }
        *locked(&self.sandbox) = Some(parts.sandbox().clone());
    }
}

fn drop_series(gauges: &IntGaugeVec, labels: &[String]) {
    if let Err(error) = gauges.remove_label_values(labels) {
        tracing::debug!(%error, "a series of a stage was not there");
    }
}

/// How full the sandbox is: asked when somebody looks, so that calls need not count.
struct SandboxGauges {
    sandbox: Arc<Mutex<Option<Sandbox>>>,
    calls: IntGauge,
    slots: IntGauge,
    waiting: IntGauge,
}

impl SandboxGauges {
    fn new(sandbox: Arc<Mutex<Option<Sandbox>>>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sandbox,
            calls: IntGauge::new("wasmilter_sandbox_calls", "Calls of plugins that are under way in the sandbox.")?,
            slots: IntGauge::new("wasmilter_sandbox_slots", "Calls of plugins that the sandbox has room for.")?,
            waiting: IntGauge::new(
                "wasmilter_sandbox_waiting_instances",
                "Instances that wait for a message: configured ahead of time, or used before.",
            )?,
        })
    }

    fn all(&self) -> [&IntGauge; 3] {
        [&self.calls, &self.slots, &self.waiting]
    }
}

impl Collector for SandboxGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(sandbox) = &*locked(&self.sandbox) {
            let occupancy = sandbox.occupancy();
            self.calls.set(count(occupancy.calls));
            self.slots.set(count(occupancy.slots));
            self.waiting.set(count(occupancy.waiting));
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
