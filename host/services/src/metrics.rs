//! What is counted about services.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::sync::Arc;
use wasmilter_message::service::ServiceError;

/// Counters of all services. Registered once per process; a reload keeps them.
#[derive(Debug)]
pub struct ServiceMetrics {
    /// `wasmilter_service_connections{service}`
    pub(crate) connections: IntGaugeVec,
    /// `wasmilter_service_connections_total{service}`
    pub(crate) opened: IntCounterVec,
    /// `wasmilter_service_failures_total{service,cause}`
    pub(crate) failures: IntCounterVec,
}

/// Values of the label `cause`.
pub(crate) const CAUSES: [&str; 4] = ["unreachable", "timed_out", "closed", "limit"];

impl ServiceMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Self {
            connections: IntGaugeVec::new(
                Opts::new("wasmilter_service_connections", "Open connections to the service."),
                &["service"],
            )?,
            opened: IntCounterVec::new(
                Opts::new("wasmilter_service_connections_total", "Connections opened to the service."),
                &["service"],
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "wasmilter_service_failures_total",
                    "Failed operations on the service: unreachable (could not connect), timed_out (no answer in time), \
                     closed (by the peer), limit (all connections in use).",
                ),
                &["service", "cause"],
            )?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.opened.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(Arc::new(metrics))
    }
}

/// The label for an error; None when it is the caller's mistake.
pub(crate) fn cause(error: &ServiceError) -> Option<&'static str> {
    match error {
        ServiceError::Denied => None,
        ServiceError::Unreachable(_) => Some("unreachable"),
        ServiceError::TimedOut => Some("timed_out"),
        ServiceError::Closed => Some("closed"),
        ServiceError::Limit(_) => Some("limit"),
    }
}

/// Counters of the resolver. Registered once per process; a reload keeps them.
#[derive(Debug)]
pub struct ResolverMetrics {
    /// `wasmilter_dns_queries_total{kind,outcome}`
    pub(crate) queries: IntCounterVec,
    /// `wasmilter_dns_duration_seconds{kind}`
    pub(crate) duration: HistogramVec,
}

impl ResolverMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Self {
            queries: IntCounterVec::new(
                Opts::new(
                    "wasmilter_dns_queries_total",
                    "DNS lookups by plugins: answered, empty (no such name, no such records), timed_out, failed.",
                ),
                &["kind", "outcome"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("wasmilter_dns_duration_seconds", "Duration of DNS lookups by plugins.")
                    .buckets(vec![0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]),
                &["kind"],
            )?,
        };
        for kind in ["addresses", "texts", "mail_exchangers", "names"] {
            for outcome in ["answered", "empty", "timed_out", "failed"] {
                // Makes the series exist from the start, at 0.
                metrics.queries.with_label_values(&[kind, outcome]);
            }
            metrics.duration.with_label_values(&[kind]);
        }
        registry.register(Box::new(metrics.queries.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(Arc::new(metrics))
    }
}

/// Counters of the store. Registered once per process; a reload keeps them.
#[derive(Debug)]
pub struct StoreMetrics {
    /// `wasmilter_store_entries`
    pub(crate) entries: IntGauge,
    /// `wasmilter_store_operations_total{operation,outcome}`
    pub(crate) operations: IntCounterVec,
    /// `wasmilter_store_expired_total`
    pub(crate) expired: IntCounter,
    /// `wasmilter_store_sync_duration_seconds`
    pub(crate) sync: Histogram,
}

impl StoreMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Self {
            entries: IntGauge::new(
                "wasmilter_store_entries",
                "Values and counters in the store, expired ones that are not removed yet included.",
            )?,
            operations: IntCounterVec::new(
                Opts::new(
                    "wasmilter_store_operations_total",
                    "Operations of plugins on the store: ok, limit (of key, value, lifetime, entries), unavailable (too \
                     late, or the store can not be read or written).",
                ),
                &["operation", "outcome"],
            )?,
            expired: IntCounter::new("wasmilter_store_expired_total", "Entries removed because they had expired.")?,
            sync: Histogram::with_opts(
                HistogramOpts::new("wasmilter_store_sync_duration_seconds", "Duration of writing the store to disk.")
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0]),
            )?,
        };
        for operation in ["get", "set", "remove", "add"] {
            for outcome in ["ok", "limit", "unavailable"] {
                // Makes the series exist from the start, at 0.
                metrics.operations.with_label_values(&[operation, outcome]);
            }
        }
        registry.register(Box::new(metrics.entries.clone()))?;
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.expired.clone()))?;
        registry.register(Box::new(metrics.sync.clone()))?;
        Ok(Arc::new(metrics))
    }
}
