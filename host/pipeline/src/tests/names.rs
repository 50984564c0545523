//! The names of metrics are part of the public interface.

use super::fake::*;
use wasmilter_message::{decision::Verdict, failure::Cause};

#[test]
fn metrics_have_their_names_from_the_start() {
    paused(async {
        let bench = Bench::new(vec![stage("s", &verdict(Verdict::Next))]);
        let _judge = bench.pipeline.judge(0);
        let families = bench.registry.gather();
        let described: Vec<_> = families.iter().map(|family| family.name()).collect();
        assert_eq!(
            described,
            [
                "wasmilter_bodies_in_flight_bytes",
                "wasmilter_body_wait_seconds",
                "wasmilter_hook_duration_seconds",
                "wasmilter_hooks_total",
                "wasmilter_host_failures_total",
                "wasmilter_listeners",
                "wasmilter_message_duration_seconds",
                "wasmilter_message_size_bytes",
                "wasmilter_message_wait_seconds",
                "wasmilter_messages_in_flight",
                "wasmilter_messages_total",
                "wasmilter_messages_waiting",
                "wasmilter_panics_total",
                "wasmilter_stage_breaker_openings_total",
                "wasmilter_stage_breaker_state",
                "wasmilter_stage_cpu_seconds_total",
                "wasmilter_stage_decisions_total",
                "wasmilter_stage_duration_seconds",
                "wasmilter_stage_edits_total",
                "wasmilter_stage_failures_total",
                "wasmilter_stage_in_flight",
                "wasmilter_stage_limit_hits_total",
                "wasmilter_stage_memory_bytes",
                "wasmilter_stage_memory_peak_bytes",
                "wasmilter_stage_restarts_total",
                "wasmilter_stage_skipped_total",
                "wasmilter_stage_wait_seconds",
                "wasmilter_stage_waiting",
            ]
        );
        for family in &families {
            assert!(family.help().ends_with('.') && family.help().len() > 30, "{}", family.name());
        }
        for cause in Cause::ALL {
            let series = format!("wasmilter_stage_failures_total{{cause=\"{}\",stage=\"s\"}}", cause.name());
            assert!(bench.metric(&series) == 0.0);
        }
        for verdict in ["accept", "reject", "tempfail", "discard", "quarantine"] {
            assert!(bench.metric(&format!("wasmilter_messages_total{{door=\"milter\",verdict=\"{verdict}\"}}")) == 0.0);
        }
    });
}
