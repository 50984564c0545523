//! What calls cost, waited for and hit is counted and traced.

use super::fake::*;
use crate::Limits;
use std::time::Duration;
use wasmilter_message::{
    decision::{Decision, Edit, HookVerdict, NewHeader, Verdict},
    failure::Failure,
    judge::{Hook, Needs},
    limit::Limit,
    message::Transaction,
};

#[test]
fn what_a_call_used_is_counted_and_traced() {
    paused(async {
        let bench = Bench::new(vec![stage("s", &verdict(Verdict::Next))]);
        let judged = bench.judge().await;
        bench.judge().await;
        assert_eq!(judged.trace.stages[0].used.cpu, Duration::from_millis(3));
        assert!((bench.metric("wasmilter_stage_cpu_seconds_total{stage=\"s\"}") - 0.006).abs() < 1e-9);
        assert_eq!(bench.metric("wasmilter_stage_memory_bytes_bucket{stage=\"s\",le=\"2097152\"}"), 0.0);
        assert_eq!(bench.metric("wasmilter_stage_memory_bytes_bucket{stage=\"s\",le=\"4194304\"}"), 2.0);
        assert_eq!(bench.metric("wasmilter_stage_memory_peak_bytes{stage=\"s\"}"), f64::from(3 << 20));
        assert_eq!(bench.metric("wasmilter_stage_limit_hits_total{limit=\"dns_queries\",stage=\"s\"}"), 2.0);
        assert_eq!(bench.metric("wasmilter_stage_limit_hits_total{limit=\"cpu\",stage=\"s\"}"), 0.0);
    });
}

#[test]
fn a_limit_that_ended_a_call_is_counted_by_its_name() {
    paused(async {
        let over = saying(Err(Failure::limit(Limit::OutputBytes, "too much")));
        let bench = Bench::new(vec![stage("over", &over), stage("slow", &slow(Duration::from_secs(60)))]);
        assert_eq!(bench.verdict().await, "tempfail");
        assert_eq!(bench.metric("wasmilter_stage_limit_hits_total{limit=\"output_bytes\",stage=\"over\"}"), 1.0);
        assert_eq!(bench.metric("wasmilter_stage_failures_total{cause=\"limit\",stage=\"over\"}"), 1.0);

        let bench = Bench::new(vec![stage("slow", &slow(Duration::from_secs(60)))]);
        assert_eq!(bench.verdict().await, "tempfail");
        assert_eq!(bench.metric("wasmilter_stage_limit_hits_total{limit=\"timeout\",stage=\"slow\"}"), 1.0);
    });
}

#[test]
fn waits_are_counted_apart_from_calls() {
    paused(async {
        let mut narrow = stage("s", &slow(Duration::from_secs(2)));
        narrow.concurrency = 1;
        let bench = Bench::new(vec![narrow]);
        let (first, second) = tokio::join!(bench.judge(), bench.judge());
        assert_eq!(first.trace.stages[0].waited, Duration::ZERO);
        assert_eq!(second.trace.stages[0].waited, Duration::from_secs(2));
        assert_eq!(bench.metric("wasmilter_stage_wait_seconds_sum{stage=\"s\"}"), 2.0);
        assert_eq!(bench.metric("wasmilter_stage_duration_seconds_sum{stage=\"s\"}"), 6.0);
        assert_eq!(bench.metric("wasmilter_message_wait_seconds_sum"), 0.0);

        let limits = Limits { in_flight: 1, queue_time: Duration::from_millis(200), ..Limits::default() };
        let bench = Bench::with(vec![stage("s", &slow(Duration::from_secs(2)))], limits);
        tokio::join!(bench.judge(), bench.judge());
        let waited = bench.metric("wasmilter_message_wait_seconds_sum");
        assert!((0.2..0.21).contains(&waited), "{waited}");
    });
}

#[test]
fn edits_are_counted_by_kind_and_spared_messages_by_stage() {
    paused(async {
        let header = |name: &str| NewHeader { name: name.to_owned(), value: "1".to_owned() };
        let edits =
            vec![Edit::AddHeader(header("X-A")), Edit::AddHeader(header("X-B")), Edit::InsertHeader(header("X-C"))];
        let editing = saying(Ok(Decision { edits, ..Decision::verdict(Verdict::Next) }));
        let mut spared = stage("spared", &verdict(Verdict::Next));
        spared.when = condition("message.size > 1000000");
        let bench = Bench::new(vec![stage("edits", &editing), spared]);
        assert_eq!(bench.verdict().await, "accept");
        assert_eq!(bench.metric("wasmilter_stage_edits_total{kind=\"add-header\",stage=\"edits\"}"), 2.0);
        assert_eq!(bench.metric("wasmilter_stage_edits_total{kind=\"insert-header\",stage=\"edits\"}"), 1.0);
        assert_eq!(bench.metric("wasmilter_stage_edits_total{kind=\"set-sender\",stage=\"edits\"}"), 0.0);
        assert_eq!(bench.metric("wasmilter_stage_skipped_total{stage=\"spared\"}"), 1.0);
        assert_eq!(bench.metric("wasmilter_stage_skipped_total{stage=\"edits\"}"), 0.0);
    });
}

#[test]
fn hooks_are_counted_by_verdict_and_what_they_used() {
    paused(async {
        let needs = Needs { mail: true, ..Needs::default() };
        let asked = at_hooks(needs, |_, _| hook_verdict(HookVerdict::Next));
        let bench = Bench::new(vec![stage("s", &asked)]);
        bench.pipeline.judge(0).hook(Hook::Mail, Transaction::default()).await;
        assert_eq!(bench.metric("wasmilter_hooks_total{hook=\"mail\",verdict=\"next\"}"), 1.0);
        assert_eq!(bench.metric("wasmilter_hooks_total{hook=\"helo\",verdict=\"next\"}"), 0.0);
        assert_eq!(bench.metric("wasmilter_hook_duration_seconds_count{hook=\"mail\"}"), 1.0);
        assert!((bench.metric("wasmilter_stage_cpu_seconds_total{stage=\"s\"}") - 0.003).abs() < 1e-9);
    });
}
