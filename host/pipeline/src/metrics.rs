//! What is counted. Names are part of the public interface; a test lists them.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use wasmilter_message::failure::Cause;

/// The pipeline's metrics. Registered once per process; a reload keeps them.
#[derive(Debug)]
pub struct Metrics {
    stage_duration: HistogramVec,
    stage_decisions: IntCounterVec,
    stage_failures: IntCounterVec,
    stage_in_flight: IntGaugeVec,
    stage_waiting: IntGaugeVec,
    stage_restarts: IntCounterVec,
    stage_breaker_state: IntGaugeVec,
    stage_breaker_openings: IntCounterVec,
    pub(crate) messages: IntCounterVec,
    pub(crate) message_duration: Histogram,
    pub(crate) message_size: Histogram,
    pub(crate) messages_in_flight: IntGauge,
    pub(crate) messages_waiting: IntGauge,
    /// `wasmilter_host_failures_total{cause}`
    pub(crate) host_failures: IntCounterVec,
}

/// Values of the label `verdict` for decisions of stages.
const DECISIONS: [&str; 6] = ["next", "accept", "reject", "tempfail", "discard", "quarantine"];
/// Values of the label `verdict` for messages.
const VERDICTS: [&str; 5] = ["accept", "reject", "tempfail", "discard", "quarantine"];
/// Values of the label `cause` of the host's own failures.
const HOST_CAUSES: [Cause; 4] = [Cause::Overload, Cause::Deadline, Cause::Store, Cause::Died];
/// From a tenth of a millisecond (a plugin that looks at one header) to a minute (a virus scanner in trouble).
const SECONDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];
/// From a short mail to the usual limit of MTAs and beyond.
const BYTES: [f64; 9] = [1e3, 1e4, 5e4, 1e5, 5e5, 1e6, 5e6, 2.5e7, 1e8];

impl Metrics {
    /// Registers all metrics of the pipeline.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registered(registry, vec)
        };
        let stage_gauge = |name, help| registered(registry, IntGaugeVec::new(Opts::new(name, help), &["stage"])?);
        let metrics = Self {
            stage_duration: registered(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "wasmilter_stage_duration_seconds",
                        "Time a stage took for a message or an envelope hook: waiting for a slot, and the plugin's call.",
                    )
                    .buckets(SECONDS.to_vec()),
                    &["stage"],
                )?,
            )?,
            stage_decisions: counter(
                "wasmilter_stage_decisions_total",
                "Decisions of a stage's plugin by verdict, those in shadow mode included.",
                &["stage", "verdict"],
            )?,
            stage_failures: counter(
                "wasmilter_stage_failures_total",
                "Messages and hooks on which a stage gave no decision, by cause; on_failure then decided.",
                &["stage", "cause"],
            )?,
            stage_in_flight: stage_gauge("wasmilter_stage_in_flight", "Calls of the stage's plugin that are running.")?,
            stage_waiting: stage_gauge(
                "wasmilter_stage_waiting",
                "Messages that wait for a slot of the stage's concurrency limit.",
            )?,
            stage_restarts: counter(
                "wasmilter_stage_restarts_total",
                "Starts of a stage's actor after the death of the one before it.",
                &["stage"],
            )?,
            stage_breaker_state: stage_gauge(
                "wasmilter_stage_breaker_state",
                "Whether the stage's plugin is called: 0 closed (it is), 1 open (paused after failures), 2 half open (on trial).",
            )?,
            stage_breaker_openings: counter(
                "wasmilter_stage_breaker_openings_total",
                "How often the stage's plugin was paused because it failed again and again.",
                &["stage"],
            )?,
            messages: counter(
                "wasmilter_messages_total",
                "Messages judged, by the door they came through and the verdict.",
                &["door", "verdict"],
            )?,
            message_duration: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "wasmilter_message_duration_seconds",
                        "Time from the end of a message at the door to its verdict.",
                    )
                    .buckets(SECONDS.to_vec()),
                )?,
            )?,
            message_size: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "wasmilter_message_size_bytes",
                        "Size of received messages: header, empty line, body.",
                    )
                    .buckets(BYTES.to_vec()),
                )?,
            )?,
            messages_in_flight: registered(
                registry,
                IntGauge::new("wasmilter_messages_in_flight", "Messages and hooks that hold a permit of the gate.")?,
            )?,
            messages_waiting: registered(
                registry,
                IntGauge::new("wasmilter_messages_waiting", "Messages and hooks that wait for a permit of the gate.")?,
            )?,
            host_failures: counter(
                "wasmilter_host_failures_total",
                "Messages and hooks that the host itself had to answer with a temporary failure, by cause.",
                &["cause"],
            )?,
        };
        for cause in HOST_CAUSES {
            metrics.host_failures.with_label_values(&[cause.name()]);
        }
        Ok(Arc::new(metrics))
    }

    /// Makes the series of a door exist from the start, at 0.
    pub(crate) fn door(&self, door: &str) {
        for verdict in VERDICTS {
            self.messages.with_label_values(&[door, verdict]);
        }
    }

    /// The series of one stage, looked up once.
    pub(crate) fn stage(&self, stage: &str) -> StageMetrics {
        StageMetrics {
            duration: self.stage_duration.with_label_values(&[stage]),
            decisions: DECISIONS.iter().map(|v| (*v, self.stage_decisions.with_label_values(&[stage, v]))).collect(),
            failures: Cause::ALL
                .iter()
                .map(|cause| (*cause, self.stage_failures.with_label_values(&[stage, cause.name()])))
                .collect(),
            in_flight: self.stage_in_flight.with_label_values(&[stage]),
            waiting: self.stage_waiting.with_label_values(&[stage]),
            restarts: self.stage_restarts.with_label_values(&[stage]),
        }
    }

    /// The same for its breaker.
    pub(crate) fn breaker(&self, stage: &str) -> BreakerMetrics {
        BreakerMetrics {
            state: Share::new(self.stage_breaker_state.with_label_values(&[stage])),
            openings: self.stage_breaker_openings.with_label_values(&[stage]),
        }
    }

    /// Ends the series of a stage that no pipeline has any more, so that renamed stages do not pile up.
    pub fn forget(&self, stage: &str) {
        let stage_only = [&self.stage_in_flight, &self.stage_waiting, &self.stage_breaker_state];
        let mut gone: Vec<Result<(), prometheus::Error>> =
            stage_only.into_iter().map(|gauge| gauge.remove_label_values(&[stage])).collect();
        gone.push(self.stage_duration.remove_label_values(&[stage]));
        gone.push(self.stage_restarts.remove_label_values(&[stage]));
        gone.push(self.stage_breaker_openings.remove_label_values(&[stage]));
        gone.extend(DECISIONS.iter().map(|verdict| self.stage_decisions.remove_label_values(&[stage, verdict])));
        gone.extend(Cause::ALL.iter().map(|cause| self.stage_failures.remove_label_values(&[stage, cause.name()])));
        if let Some(error) = gone.into_iter().find_map(Result::err) {
            tracing::debug!(stage, %error, "not all series of the stage were there");
        }
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// The metrics of one stage.
#[derive(Debug)]
pub(crate) struct StageMetrics {
    pub(crate) duration: Histogram,
    decisions: HashMap<&'static str, IntCounter>,
    failures: HashMap<Cause, IntCounter>,
    pub(crate) in_flight: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) restarts: IntCounter,
}

impl StageMetrics {
    /// Counts what the plugin decided.
    pub(crate) fn decided(&self, verdict: &str) {
        if let Some(counter) = self.decisions.get(verdict) {
            counter.inc();
        }
    }

    /// Counts that it did not.
    pub(crate) fn failed(&self, cause: Cause) {
        if let Some(counter) = self.failures.get(&cause) {
            counter.inc();
        }
    }
}

/// The metrics of one stage's breaker.
#[derive(Debug)]
pub(crate) struct BreakerMetrics {
    pub(crate) state: Share,
    pub(crate) openings: IntCounter,
}

/// A value that is part of a gauge for as long as it lives: after a reload the pipelines before and after share a gauge.
#[derive(Debug)]
pub(crate) struct Share {
    gauge: IntGauge,
    shown: AtomicI64,
}

impl Share {
    fn new(gauge: IntGauge) -> Self {
        Self { gauge, shown: AtomicI64::new(0) }
    }

    /// Shows `value` from now on.
    pub(crate) fn show(&self, value: i64) {
        self.gauge.add(value.saturating_sub(self.shown.swap(value, Ordering::Relaxed)));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.show(0);
    }
}

/// Adds one to a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(IntGauge);

impl Counted {
    pub(crate) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
