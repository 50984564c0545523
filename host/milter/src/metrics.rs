//! What the milter door counts.

use crate::connection::Traffic;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of the milter door.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) connections_total: IntCounter,
    /// Bytes from and to mail servers.
    pub(crate) traffic: Traffic,
    pub(crate) protocol_errors: IntCounter,
    pub(crate) aborted: IntCounter,
    /// By verdict.
    pub(crate) not_judged: IntCounterVec,
    /// Of the judge, as seen from here, and of sessions.
    pub(crate) judge_panics: IntCounter,
    pub(crate) session_panics: IntCounter,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When one of the names is taken in that registry.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connections: IntGauge::new("wasmilter_connections", "Connections of mail servers that are open now.")?,
            connections_total: IntCounter::new("wasmilter_connections_total", "Connections that were accepted.")?,
            traffic: Traffic {
                received: IntCounter::new(
                    "wasmilter_received_bytes_total",
                    "Bytes that mail servers sent by the milter protocol.",
                )?,
                sent: IntCounter::new(
                    "wasmilter_sent_bytes_total",
                    "Bytes of replies and changes sent to mail servers by the milter protocol.",
                )?,
            },
            protocol_errors: IntCounter::new(
                "wasmilter_protocol_errors_total",
                "Connections closed because the mail server broke the milter protocol.",
            )?,
            aborted: IntCounter::new(
                "wasmilter_transactions_aborted_total",
                "Transactions that ended before their message was judged.",
            )?,
            not_judged: IntCounterVec::new(
                Opts::new(
                    "wasmilter_messages_not_judged_total",
                    "Messages that never reached the pipeline: too large (reject), or nowhere to keep them (tempfail).",
                ),
                &["verdict"],
            )?,
            judge_panics: panics("judge")?,
            session_panics: panics("session")?,
        };
        for verdict in ["reject", "tempfail"] {
            metrics.not_judged.with_label_values(&[verdict]);
        }
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connections_total.clone()))?;
        registry.register(Box::new(metrics.traffic.received.clone()))?;
        registry.register(Box::new(metrics.traffic.sent.clone()))?;
        registry.register(Box::new(metrics.protocol_errors.clone()))?;
        registry.register(Box::new(metrics.aborted.clone()))?;
        registry.register(Box::new(metrics.not_judged.clone()))?;
        registry.register(Box::new(metrics.judge_panics.clone()))?;
        registry.register(Box::new(metrics.session_panics.clone()))?;
        Ok(metrics)
    }
}

/// The panics of one part. The pipeline counts its own under the same name, with the same help.
fn panics(part: &str) -> Result<IntCounter, prometheus::Error> {
    let help = "Defects of the host that were caught, by the part that panicked; the log has their places.";
    IntCounter::with_opts(Opts::new("wasmilter_panics_total", help).const_label("part", part))
}
