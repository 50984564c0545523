//! What is counted. Names are part of the public interface; a test lists them.

use crate::feed::Feed;
use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, core::Collector,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use wasmilter_message::{
    decision::Edit,
    failure::{Cause, Failure},
    judge::Hook,
    limit::Limit,
    trace::StageTrace,
};

/// The pipeline's metrics, and the feed of its decisions. Registered once per process; a reload keeps them.
#[derive(Debug)]
pub struct Metrics {
    stage_duration: HistogramVec,
    stage_wait: HistogramVec,
    stage_cpu: CounterVec,
    stage_memory: HistogramVec,
    stage_memory_peak: IntGaugeVec,
    stage_decisions: IntCounterVec,
    stage_edits: IntCounterVec,
    stage_skipped: IntCounterVec,
    stage_failures: IntCounterVec,
    stage_limit_hits: IntCounterVec,
    stage_in_flight: IntGaugeVec,
    stage_waiting: IntGaugeVec,
    stage_restarts: IntCounterVec,
    stage_breaker_state: IntGaugeVec,
    stage_breaker_openings: IntCounterVec,
    messages: IntCounterVec,
    hooks: IntCounterVec,
    hook_duration: HistogramVec,
    pub(crate) message_duration: Histogram,
    pub(crate) message_wait: Histogram,
    pub(crate) body_wait: Histogram,
    pub(crate) bodies_in_flight: IntGauge,
    pub(crate) message_size: Histogram,
    pub(crate) messages_in_flight: IntGauge,
    pub(crate) messages_waiting: IntGauge,
    /// `wasmilter_host_failures_total{cause}`
    pub(crate) host_failures: IntCounterVec,
    pub(crate) feed: Feed,
    call_panics: IntCounter,
    pub(crate) panics: IntCounter,
}

/// Values of the label `verdict` for decisions of stages.
const DECISIONS: [&str; 6] = ["next", "accept", "reject", "tempfail", "discard", "quarantine"];
/// Values of the label `verdict` for messages.
const VERDICTS: [&str; 5] = ["accept", "reject", "tempfail", "discard", "quarantine"];
/// Values of the label `hook`.
const HOOKS: [&str; 4] = ["connect", "helo", "mail", "rcpt"];
/// Values of the label `verdict` for hooks.
const HOOK_VERDICTS: [&str; 3] = ["next", "reject", "tempfail"];
/// Values of the label `cause` of the host's own failures.
const HOST_CAUSES: [Cause; 5] = [Cause::Overload, Cause::Deadline, Cause::Store, Cause::Died, Cause::Condition];
/// From a tenth of a millisecond (a plugin that looks at one header) to a minute (a virus scanner in trouble).
const SECONDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];
/// From what a plugin needs that looks at one header to what language runtimes take, and beyond the default limit.
const MEMORY: [f64; 9] = [
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
];
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
        let histograms = |name, help, label, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(registry, HistogramVec::new(options, &[label])?)
        };
        let histogram = |name, help, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(registry, Histogram::with_opts(options)?)
        };
        let metrics = Self {
            stage_duration: histograms(
                "wasmilter_stage_duration_seconds",
                "Time a stage took for a message or an envelope hook: waiting for a slot, and the plugin's call.",
                "stage",
                &SECONDS,
            )?,
            stage_wait: histograms(
                "wasmilter_stage_wait_seconds",
                "Of that, time waited for a slot of the stage's concurrency limit.",
                "stage",
                &SECONDS,
            )?,
            stage_cpu: registered(
                registry,
                CounterVec::new(
                    Opts::new(
                        "wasmilter_stage_cpu_seconds_total",
                        "Processor time of the stage's plugin and of the host's functions that it called, for messages and hooks.",
                    ),
                    &["stage"],
                )?,
            )?,
            stage_memory: histograms(
                "wasmilter_stage_memory_bytes",
                "Linear memory that a call's instance had at its end, which is the most it had.",
                "stage",
                &MEMORY,
            )?,
            stage_memory_peak: stage_gauge(
                "wasmilter_stage_memory_peak_bytes",
                "The most linear memory that one call's instance had since the stage was loaded.",
            )?,
            stage_decisions: counter(
                "wasmilter_stage_decisions_total",
                "Decisions of a stage's plugin by verdict, those in shadow mode included.",
                &["stage", "verdict"],
            )?,
            stage_edits: counter(
                "wasmilter_stage_edits_total",
                "Edits of a stage's decisions by kind, those in shadow mode included, those of refused decisions not.",
                &["stage", "kind"],
            )?,
            stage_skipped: counter(
                "wasmilter_stage_skipped_total",
                "Messages and hooks that the stage's condition kept from its plugin.",
                &["stage"],
            )?,
            stage_failures: counter(
                "wasmilter_stage_failures_total",
                "Messages and hooks on which a stage gave no decision, by cause; on_failure then decided.",
                &["stage", "cause"],
            )?,
            stage_limit_hits: counter(
                "wasmilter_stage_limit_hits_total",
                "Calls of a stage's plugin that hit a limit, by limit: ended by it, or told of it and gone on.",
                &["stage", "limit"],
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
            hooks: counter(
                "wasmilter_hooks_total",
                "Envelope hooks judged, by hook and verdict.",
                &["hook", "verdict"],
            )?,
            hook_duration: histograms(
                "wasmilter_hook_duration_seconds",
                "Time from the question at an envelope hook to its verdict, the wait to be let in included.",
                "hook",
                &SECONDS,
            )?,
            message_duration: histogram(
                "wasmilter_message_duration_seconds",
                "Time from the end of a message at the door to its verdict.",
                &SECONDS,
            )?,
            message_wait: histogram(
                "wasmilter_message_wait_seconds",
                "Of that, time waited to be let in: for a turn at the processor and a permit; hooks wait as well.",
                &SECONDS,
            )?,
            body_wait: histogram(
                "wasmilter_body_wait_seconds",
                "Of that, time that a body above 4 MiB waited for room (limits.bodies_in_flight); others are not counted.",
                &SECONDS,
            )?,
            bodies_in_flight: registered(
                registry,
                IntGauge::new(
                    "wasmilter_bodies_in_flight_bytes",
                    "Bytes of bodies above 4 MiB that are being judged (limits.bodies_in_flight).",
                )?,
            )?,
            message_size: histogram(
                "wasmilter_message_size_bytes",
                "Size of received messages: header, empty line, body.",
                &BYTES,
            )?,
            messages_in_flight: registered(
                registry,
                IntGauge::new(
                    "wasmilter_messages_in_flight",
                    "Messages and hooks that were let in and have no verdict yet.",
                )?,
            )?,
            messages_waiting: registered(
                registry,
                IntGauge::new("wasmilter_messages_waiting", "Messages and hooks that wait to be let in.")?,
            )?,
            host_failures: counter(
                "wasmilter_host_failures_total",
                "Messages and hooks that the host itself had to answer with a temporary failure, by cause.",
                &["cause"],
            )?,
            feed: Feed::new(registered(
                registry,
                IntGauge::new(
                    "wasmilter_listeners",
                    "Who hears every decision now: `wasmilter tap`, and the task that sends spans.",
                )?,
            )?),
            call_panics: panics(registry, "call")?,
            panics: panics(registry, "pipeline")?,
        };
        for cause in HOST_CAUSES {
            metrics.host_failures.with_label_values(&[cause.name()]);
        }
        Ok(Arc::new(metrics))
    }

    /// Decisions as they happen.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The series of one door, looked up once.
    pub(crate) fn door(&self, name: &'static str) -> DoorMetrics {
        let hook = |hook: &'static str| HookMetrics {
            name: hook,
            judged: ByName::new(&HOOK_VERDICTS, |verdict| self.hooks.with_label_values(&[hook, verdict])),
            duration: self.hook_duration.with_label_values(&[hook]),
        };
        DoorMetrics {
            name,
            messages: ByName::new(&VERDICTS, |verdict| self.messages.with_label_values(&[name, verdict])),
            hooks: HOOKS.map(hook),
        }
    }

    /// The series of one stage, looked up once.
    pub(crate) fn stage(&self, stage: &str) -> StageMetrics {
        let causes = Cause::ALL.map(Cause::name);
        let limits = Limit::ALL.map(Limit::name);
        StageMetrics {
            duration: self.stage_duration.with_label_values(&[stage]),
            wait: self.stage_wait.with_label_values(&[stage]),
            cpu: self.stage_cpu.with_label_values(&[stage]),
            memory: self.stage_memory.with_label_values(&[stage]),
            memory_peak: Peak::new(self.stage_memory_peak.with_label_values(&[stage])),
            decisions: ByName::new(&DECISIONS, |verdict| self.stage_decisions.with_label_values(&[stage, verdict])),
            edits: ByName::new(&Edit::NAMES, |kind| self.stage_edits.with_label_values(&[stage, kind])),
            skipped: self.stage_skipped.with_label_values(&[stage]),
            failures: ByName::new(&causes, |cause| self.stage_failures.with_label_values(&[stage, cause])),
            limit_hits: ByName::new(&limits, |limit| self.stage_limit_hits.with_label_values(&[stage, limit])),
            in_flight: self.stage_in_flight.with_label_values(&[stage]),
            waiting: self.stage_waiting.with_label_values(&[stage]),
            restarts: self.stage_restarts.with_label_values(&[stage]),
            panics: self.call_panics.clone(),
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
        let mut gone = Vec::new();
        for gauge in [&self.stage_in_flight, &self.stage_waiting, &self.stage_breaker_state, &self.stage_memory_peak] {
            gone.push(gauge.remove_label_values(&[stage]));
        }
        for histogram in [&self.stage_duration, &self.stage_wait, &self.stage_memory] {
            gone.push(histogram.remove_label_values(&[stage]));
        }
        for counter in [&self.stage_skipped, &self.stage_restarts, &self.stage_breaker_openings] {
            gone.push(counter.remove_label_values(&[stage]));
        }
        gone.push(self.stage_cpu.remove_label_values(&[stage]));
        gone.extend(DECISIONS.map(|verdict| self.stage_decisions.remove_label_values(&[stage, verdict])));
        gone.extend(Edit::NAMES.map(|kind| self.stage_edits.remove_label_values(&[stage, kind])));
        gone.extend(Cause::ALL.map(|cause| self.stage_failures.remove_label_values(&[stage, cause.name()])));
        gone.extend(Limit::ALL.map(|limit| self.stage_limit_hits.remove_label_values(&[stage, limit.name()])));
        if let Some(error) = gone.into_iter().find_map(Result::err) {
            tracing::debug!(stage, %error, "not all series of the stage were there");
        }
    }
}

/// The panics of one part. The door counts its own under the same name.
fn panics(registry: &Registry, part: &str) -> Result<IntCounter, prometheus::Error> {
    let help = "Defects of the host that were caught, by the part that panicked; the log has their places.";
    registered(registry, IntCounter::with_opts(Opts::new("wasmilter_panics_total", help).const_label("part", part))?)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Counters that differ in one label, whose values are fixed.
#[derive(Debug)]
struct ByName(Vec<(&'static str, IntCounter)>);

impl ByName {
    fn new(names: &[&'static str], series: impl Fn(&'static str) -> IntCounter) -> Self {
        Self(names.iter().map(|name| (*name, series(name))).collect())
    }

    fn inc(&self, name: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == name) {
            counter.inc();
        }
    }
}

/// The metrics of what came through one door.
#[derive(Debug)]
pub(crate) struct DoorMetrics {
    /// The door's.
    pub(crate) name: &'static str,
    messages: ByName,
    hooks: [HookMetrics; 4],
}

#[derive(Debug)]
struct HookMetrics {
    name: &'static str,
    judged: ByName,
    duration: Histogram,
}

impl DoorMetrics {
    /// Counts a message's verdict.
    pub(crate) fn judged(&self, verdict: &str) {
        self.messages.inc(verdict);
    }

    /// Counts a hook's.
    pub(crate) fn hook_judged(&self, hook: &Hook, verdict: &str, took: Duration) {
        if let Some(metrics) = self.hooks.iter().find(|metrics| metrics.name == hook.name()) {
            metrics.judged.inc(verdict);
            metrics.duration.observe(took.as_secs_f64());
        }
    }
}

/// The metrics of one stage.
#[derive(Debug)]
pub(crate) struct StageMetrics {
    duration: Histogram,
    pub(crate) wait: Histogram,
    cpu: Counter,
    memory: Histogram,
    memory_peak: Peak,
    decisions: ByName,
    edits: ByName,
    pub(crate) skipped: IntCounter,
    failures: ByName,
    limit_hits: ByName,
    pub(crate) in_flight: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) restarts: IntCounter,
    /// Of the plugins' calls, of all stages.
    pub(crate) panics: IntCounter,
}

impl StageMetrics {
    /// Counts a call that is over, however it ended.
    pub(crate) fn called(&self, trace: &StageTrace) {
        self.duration.observe(trace.took.as_secs_f64());
        let used = &trace.used;
        self.cpu.inc_by(used.cpu.as_secs_f64());
        if used.memory > 0 {
            #[allow(clippy::cast_precision_loss, reason = "memories are far below 2^52")]
            self.memory.observe(used.memory as f64);
            self.memory_peak.see(used.memory);
        }
        for limit in used.refused.iter() {
            self.limit_hits.inc(limit.name());
        }
    }

    /// Counts what the plugin decided.
    pub(crate) fn decided(&self, verdict: &str) {
        self.decisions.inc(verdict);
    }

    /// Counts what it changed.
    pub(crate) fn edited(&self, edits: &[Edit]) {
        for edit in edits {
            self.edits.inc(edit.name());
        }
    }

    /// Counts that it did not decide.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.failures.inc(failure.cause.name());
        if let Some(limit) = failure.limit {
            self.limit_hits.inc(limit.name());
        }
    }
}

/// The highest value seen. A new one begins anew: after a reload it is that of the new pipeline.
#[derive(Debug)]
struct Peak {
    gauge: IntGauge,
    highest: AtomicI64,
}

impl Peak {
    fn new(gauge: IntGauge) -> Self {
        gauge.set(0);
        Self { gauge, highest: AtomicI64::new(0) }
    }

    fn see(&self, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        // Most calls need what others needed before: then nothing is written.
        if value > self.highest.load(Ordering::Relaxed) {
            self.gauge.set(self.highest.fetch_max(value, Ordering::Relaxed).max(value));
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
