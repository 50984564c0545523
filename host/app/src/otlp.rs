//! Spans for an OpenTelemetry collector: one for each message and hook, with a child for each stage that ran.
//!
//! They are made from finished records by a task of its own, so that mail pays for one copy of names and numbers, and for nothing
//! when no collector is configured. The queue is the feed's: a collector that is slow or away costs spans, which are counted, and
//! nothing else. Sent is what `wasmilter tap` shows: no address, no header, no content.
//!
//! OTLP/HTTP with JSON (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>): `POST …/v1/traces`, an `ExportTraceServiceRequest` of
//! `opentelemetry.proto.trace.v1` in the JSON mapping, with ids in hexadecimal and 64-bit numbers as strings.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use serde_json::{Value, json};
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use wasmilter_message::failure::Cause;
use wasmilter_pipeline::{
    feed::{Heard, Listener},
    record::{Record, StageRecord},
};

/// Messages and hooks in one request at most.
const BATCH: u64 = 256;
/// A record waits this long for others to be sent with.
const GATHERED: Duration = Duration::from_secs(1);
/// Bound of one request; a collector is near.
const REQUEST: Duration = Duration::from_secs(10);
/// Bound of the last request, while the daemon stops.
const LAST: Duration = Duration::from_secs(2);

/// Where spans go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Export {
    /// URL of the collector, without `/v1/traces`.
    pub(crate) collector: String,
    /// Part of messages and hooks that is sent, 0 to 1.
    pub(crate) sampling: f64,
}

/// What became of spans.
#[derive(Debug, Clone)]
pub(crate) struct SpanMetrics {
    sent: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
}

impl SpanMetrics {
    /// # Errors
    /// When the registry has them already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "wasmilter_traces_total",
            "Traces of messages and hooks for the OpenTelemetry collector: sent, failed (it did not take them), dropped (it is too \
             slow, or away).",
        );
        let traces = IntCounterVec::new(options, &["outcome"])?;
        registry.register(Box::new(traces.clone()))?;
        let outcome = |outcome| traces.with_label_values(&[outcome]);
        Ok(Self { sent: outcome("sent"), failed: outcome("failed"), dropped: outcome("dropped") })
    }
}

/// Sends spans of what `listener` hears until `stop` ends, then what is left.
pub(crate) async fn run(export: Export, listener: Listener, metrics: SpanMetrics, mut stop: oneshot::Receiver<()>) {
    // Without a provider of TLS the client can not even be made.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client = match reqwest::Client::builder().build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no spans are sent: the HTTP client can not be set up");
            return;
        }
    };
    let mut collector = Collector {
        client,
        url: format!("{}/v1/traces", export.collector.trim_end_matches('/')),
        takes_spans: true,
        metrics,
    };
    let mut gathering = Gathering { listener, ids: RandomState::new(), number: 0, sampling: export.sampling };
    loop {
        let mut batch = Batch::default();
        let stopping = tokio::select! {
            () = gathering.fill(&mut batch, &collector.metrics.dropped) => false,
            _ = &mut stop => true,
        };
        collector.send(batch, if stopping { LAST } else { REQUEST }).await;
        if stopping {
            return;
        }
    }
}

/// Spans to be sent together, of so many traces.
#[derive(Debug, Default)]
struct Batch {
    spans: Vec<Value>,
    traces: u64,
}

/// From records to batches.
struct Gathering {
    listener: Listener,
    ids: RandomState,
    number: u64,
    sampling: f64,
}

impl Gathering {
    /// Returns when the batch is full, or its first trace has waited long enough. May be dropped: what is in the batch stays there.
    async fn fill(&mut self, batch: &mut Batch, dropped: &IntCounter) {
        let mut until = None;
        while batch.traces < BATCH {
            let heard = match until {
                None => self.listener.next().await,
                Some(until) => match timeout_at(until, self.listener.next()).await {
                    Ok(heard) => heard,
                    Err(_) => return,
                },
            };
            match heard {
                Some(Heard::Record(record)) => {
                    self.number = self.number.wrapping_add(1);
                    let id = |part: u8| self.ids.hash_one((self.number, part));
                    let ids = Ids { high: id(0), low: id(1), span: id(2) };
                    if ids.sampled(self.sampling) {
                        ids.spans(&record, &mut batch.spans);
                        batch.traces = batch.traces.saturating_add(1);
                        until = until.or_else(|| Instant::now().checked_add(GATHERED));
                    }
                }
                Some(Heard::Lost(lost)) => dropped.inc_by(lost),
                // The feed lives as long as the process; should it not, nothing will come any more.
                None => std::future::pending().await,
            }
        }
    }
}

/// The collector, as far as it is known.
struct Collector {
    client: reqwest::Client,
    url: String,
    takes_spans: bool,
    metrics: SpanMetrics,
}

impl Collector {
    async fn send(&mut self, batch: Batch, limit: Duration) {
        if batch.spans.is_empty() {
            return;
        }
        let body = request(batch.spans).to_string();
        let sent = timeout(limit, self.post(body)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")));
        let counter = if sent.is_ok() { &self.metrics.sent } else { &self.metrics.failed };
        counter.inc_by(batch.traces);
        // A line for each change: a collector that is away for a day is not worth a million.
        match (&sent, self.takes_spans) {
            (Err(error), true) => tracing::warn!(url = self.url, error, "the OpenTelemetry collector takes no spans"),
            (Ok(()), false) => tracing::info!(url = self.url, "the OpenTelemetry collector takes spans again"),
            _ => {}
        }
        self.takes_spans = sent.is_ok();
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let request = self.client.post(&self.url).header("Content-Type", "application/json").body(body);
        let response = request.send().await.map_err(|error| error.to_string())?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answers {status}")),
        }
    }
}

/// `ExportTraceServiceRequest`.
fn request(spans: Vec<Value>) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "wasmilter"), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "wasmilter", "version": version }, "spans": spans }],
    }] })
}

/// What the ids of one trace are made from. Never all zero, which OpenTelemetry forbids.
struct Ids {
    high: u64,
    low: u64,
    /// Of the first span; the others count on from it.
    span: u64,
}

/// `SPAN_KIND_SERVER`: the mail server asked. `SPAN_KIND_INTERNAL`: nobody outside did.
const SERVER: u8 = 2;
const INTERNAL: u8 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

impl Ids {
    /// Whether the trace is among the part that is sent: by its id, as OpenTelemetry's `TraceIdRatioBased`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn sampled(&self, part: f64) -> bool {
        ((self.low >> 11) as f64) < part * (1_u64 << 53) as f64
    }

    fn spans(&self, record: &Record, spans: &mut Vec<Value>) {
        let end = record.at;
        let start = end.checked_sub(record.took).unwrap_or(end);
        let root = self.span_id(0);
        let mut attributes = vec![
            text("wasmilter.id", &record.id),
            text("wasmilter.door", record.door),
            text("wasmilter.verdict", record.verdict),
        ];
        attributes.extend(record.queue_id.as_deref().map(|id| text("wasmilter.queue_id", id)));
        if record.hook.is_none() {
            attributes.push(number("wasmilter.size", record.size));
        }
        let mut span = self.span(root, record.hook.unwrap_or("message"), SERVER, start, end, attributes);
        if let Some(cause) = record.failure {
            failed(&mut span, cause);
        }
        spans.push(span);

        let ran = |stage: &&StageRecord| stage.ran || stage.failure.is_some();
        for (place, stage) in (1_u64..).zip(record.stages.iter().filter(ran)) {
            let began = end.checked_sub(stage.before_verdict).unwrap_or(start).max(start);
            let ended = began.checked_add(stage.took).unwrap_or(began);
            let mut attributes = vec![
                text("wasmilter.plugin", &stage.plugin),
                flag("wasmilter.shadow", stage.shadow),
                number("wasmilter.edits", stage.edits.len() as u64),
                number("wasmilter.wait_us", microseconds(stage.waited)),
                number("wasmilter.cpu_us", microseconds(stage.used.cpu)),
                number("wasmilter.memory_bytes", stage.used.memory),
            ];
            attributes.extend(stage.verdict.map(|verdict| text("wasmilter.verdict", verdict)));
            attributes.extend(stage.limit.map(|limit| text("wasmilter.limit", limit.name())));
            let mut span = self.span(self.span_id(place), &stage.name, INTERNAL, began, ended, attributes);
            if let Some(object) = span.as_object_mut() {
                object.insert("parentSpanId".to_owned(), json!(format!("{root:016x}")));
            }
            if let Some(cause) = stage.failure {
                failed(&mut span, cause);
            }
            spans.push(span);
        }
    }

    fn span_id(&self, place: u64) -> u64 {
        self.span.wrapping_add(place).max(1)
    }

    fn span(&self, id: u64, name: &str, kind: u8, from: SystemTime, to: SystemTime, attributes: Vec<Value>) -> Value {
        json!({
            "traceId": format!("{:016x}{:016x}", self.high, self.low.max(1)),
            "spanId": format!("{id:016x}"),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": nanoseconds(from),
            "endTimeUnixNano": nanoseconds(to),
            "attributes": attributes,
        })
    }
}

fn failed(span: &mut Value, cause: Cause) {
    if let Some(object) = span.as_object_mut() {
        object.insert("status".to_owned(), json!({ "code": ERROR, "message": cause.name() }));
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn flag(key: &str, value: bool) -> Value {
    json!({ "key": key, "value": { "boolValue": value } })
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_takes_its_part() {
        let ids = |low| Ids { high: 1, low, span: 1 };
        assert!(ids(u64::MAX).sampled(1.0) && !ids(0).sampled(0.0));
        let state = RandomState::new();
        let taken = (0..10_000_u64).filter(|number| ids(state.hash_one(number)).sampled(0.25)).count();
        assert!((2_200..2_800).contains(&taken), "{taken}");
    }

    #[test]
    fn ids_are_never_zero() {
        let ids = Ids { high: 0, low: 0, span: 0 };
        let span = ids.span(ids.span_id(0), "x", SERVER, UNIX_EPOCH, UNIX_EPOCH, Vec::new());
        assert_eq!(span["traceId"], "00000000000000000000000000000001");
        assert_eq!(span["spanId"], "0000000000000001");
    }
}
