//! Metrics of the process and its configuration. What a crate counts about its own work is registered by that crate.

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, process_collector::ProcessCollector};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the last (re)load of the configuration worked, and when it last did.
#[derive(Debug, Clone)]
pub struct ConfigMetrics {
    successful: IntGauge,
    success_time: Gauge,
    reloads: IntCounterVec,
}

/// Values of the label `outcome`.
const OUTCOMES: [&str; 2] = ["successful", "refused"];

impl ConfigMetrics {
    /// Registers these, the process's own (`process_*`) and `wasmilter_build_info`.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let build = Opts::new("wasmilter_build_info", "Always 1; the labels say which build this is.");
        let build = IntGaugeVec::new(build, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;

        let successful = IntGauge::new(
            "wasmilter_config_last_reload_successful",
            "1 when the configuration was read without a mistake the last time, otherwise 0.",
        )?;
        registry.register(Box::new(successful.clone()))?;

        let success_time = Gauge::new(
            "wasmilter_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read without a mistake, in seconds since 1970.",
        )?;
        registry.register(Box::new(success_time.clone()))?;

        let reloads = Opts::new(
            "wasmilter_config_reloads_total",
            "Reloads of the configuration: successful, or refused because of a mistake; then the one before stays in force.",
        );
        let reloads = IntCounterVec::new(reloads, &["outcome"])?;
        for outcome in OUTCOMES {
            reloads.with_label_values(&[outcome]);
        }
        registry.register(Box::new(reloads.clone()))?;
        Ok(Self { successful, success_time, reloads })
    }

    /// The configuration was read again, just now.
    pub(crate) fn reloaded(&self, successfully: bool) {
        let [successful, refused] = OUTCOMES;
        self.reloads.with_label_values(&[if successfully { successful } else { refused }]).inc();
        if successfully {
            self.loaded();
        } else {
            self.successful.set(0);
        }
    }

    /// The configuration was read, just now.
    pub fn loaded(&self) {
        self.successful.set(1);
        self.success_time.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }
}
