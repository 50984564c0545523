//! What the milter door counts.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counters of the milter door.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) connections_total: IntCounter,
    pub(crate) protocol_errors: IntCounter,
    pub(crate) aborted: IntCounter,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When one of the names is taken in that registry.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connections: IntGauge::new("wasmilter_connections", "Connections of mail servers that are open now")?,
            connections_total: IntCounter::new("wasmilter_connections_total", "Connections that were accepted")?,
            protocol_errors: IntCounter::new(
                "wasmilter_protocol_errors_total",
                "Connections closed because the mail server broke the milter protocol",
            )?,
            aborted: IntCounter::new(
                "wasmilter_transactions_aborted_total",
                "Transactions that ended before their message was judged",
            )?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connections_total.clone()))?;
        registry.register(Box::new(metrics.protocol_errors.clone()))?;
        registry.register(Box::new(metrics.aborted.clone()))?;
        Ok(metrics)
    }
}
