//! What is counted about services.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
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
