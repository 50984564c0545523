//! Stages in turn: order, conditions, facts, edits, the end of a run, shadow mode, the trace.

use super::fake::*;
use crate::Mode;
use std::{sync::Arc, time::Duration};
use wasmilter_message::{
    decision::{Decision, Edit, NewHeader, Reply, Verdict},
    facts::Value,
    failure::Cause,
    judge::Needs,
};

fn add_header(name: &str, verdict: Verdict) -> Decision {
    let header = NewHeader { name: name.to_owned(), value: "yes".to_owned() };
    Decision { edits: vec![Edit::AddHeader(header)], ..Decision::verdict(verdict) }
}

fn names(message: &wasmilter_message::message::ParsedMessage) -> Vec<String> {
    message.headers.fields().map(|field| String::from_utf8_lossy(&field.name).into_owned()).collect()
}

#[test]
fn stages_run_in_order_and_see_what_those_before_them_did() {
    paused(async {
        let diary = Diary::default();
        let named = |name: &'static str| {
            let diary = diary.clone();
            acting(move |message, _| {
                diary.write(format!("{name} sees {:?} {:?}", names(&message), message.facts.get("a.score")));
                std::future::ready(Ok(Decision { edits: add_header(name, Verdict::Next).edits, ..score(1.0) }))
            })
        };
        let bench = Bench::new(vec![stage("a", &named("X-A")), stage("b", &named("X-B"))]);
        let judged = bench.judge().await;
        assert_eq!(judged.verdict, Verdict::Accept, "after the last stage: deliver");
        assert_eq!(diary.lines(), ["X-A sees [\"Subject\"] None", "X-B sees [\"Subject\", \"X-A\"] Some(Number(1.0))"]);
        assert_eq!(names(&judged.message), ["Subject", "X-A", "X-B"]);
        assert_eq!(names(&judged.received), ["Subject"]);
        assert_eq!(judged.message.facts.get("b.score"), Some(&Value::Number(1.0)));
        assert!(judged.received.facts.is_empty());
    });
}

#[test]
fn conditions_decide_who_runs() {
    paused(async {
        let spam = saying(Ok(score(7.3)));
        let (high, low, small, never) = (
            verdict(Verdict::Next),
            verdict(Verdict::Next),
            verdict(Verdict::Next),
            verdict(Verdict::Reject(Reply::default())),
        );
        let mut stages = vec![
            stage("spam", &spam),
            stage("high", &high),
            stage("low", &low),
            stage("small", &small),
            stage("unset", &never),
        ];
        stages[1].when = condition("facts.spam.score > 7");
        stages[2].unless = condition("facts.spam.score > 7");
        stages[3].when = condition("message.size < 50000000");
        stages[3].unless = condition("client.authenticated");
        stages[4].when = condition("facts.virus.found");
        let bench = Bench::new(stages);
        let judged = bench.judge().await;
        assert_eq!((high.calls(), low.calls(), small.calls(), never.calls()), (1, 0, 1, 0));
        let conditions: Vec<_> = judged
            .trace
            .stages
            .iter()
            .map(|stage| (stage.ran, stage.condition.as_ref().map(|c| (&*c.source, c.negated, c.value.clone()))))
            .collect();
        assert_eq!(
            conditions,
            [
                (true, None),
                (true, Some(("facts.spam.score > 7", false, Ok(true)))),
                (false, Some(("facts.spam.score > 7", true, Ok(true)))),
                (true, Some(("client.authenticated", true, Ok(false)))),
                (false, Some(("facts.virus.found", false, Ok(false)))),
            ]
        );
    });
}

#[test]
fn a_verdict_ends_the_run() {
    let reply = Reply::text("no");
    for (said, edits_kept) in [
        (Verdict::Accept, true),
        (Verdict::Reject(reply.clone()), false),
        (Verdict::Tempfail(reply), false),
        (Verdict::Discard, false),
        (Verdict::Quarantine { reason: "odd".to_owned() }, true),
    ] {
        paused(async {
            let (before, after) = (saying(Ok(add_header("X-Before", Verdict::Next))), verdict(Verdict::Next));
            let own = saying(Ok(add_header("X-Own", said.clone())));
            let bench = Bench::new(vec![stage("before", &before), stage("own", &own), stage("after", &after)]);
            let judged = bench.judge().await;
            assert_eq!(judged.verdict, said);
            assert_eq!(after.calls(), 0);
            let expected: &[&str] = if edits_kept { &["Subject", "X-Before", "X-Own"] } else { &["Subject"] };
            assert_eq!(names(&judged.message), expected, "{said:?}");
            assert_eq!(judged.trace.stages.len(), 2, "stages that were not reached are not in the trace");
            assert_eq!(judged.trace.stages[1].edits.len(), 1, "the trace keeps what was asked for");
        });
    }
}

#[test]
fn the_trace_is_complete() {
    paused(async {
        let policy = acting(|_, _| async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(Decision { edits: add_header("X-A", Verdict::Next).edits, ..score(2.0) })
        });
        let bench = Bench::new(vec![stage("a", &policy)]);
        let trace = bench.judge().await.trace;
        let [stage] = &trace.stages[..] else { panic!("one stage") };
        assert_eq!((&*stage.name, &*stage.plugin, stage.ran, stage.shadow), ("a", "fake", true, false));
        assert_eq!(stage.verdict, Some(Verdict::Next));
        assert_eq!(stage.edits[0].name(), "add-header");
        assert_eq!(stage.facts, [fact("score", Value::Number(2.0))]);
        assert_eq!(stage.failure, None);
        assert!(stage.condition.is_none() && trace.host.is_none());
        assert!(stage.took >= Duration::from_millis(30) && trace.took >= stage.took);
        assert!(trace.took < Duration::from_secs(1));
        assert!(bench.metric("wasmilter_stage_decisions_total{stage=\"a\",verdict=\"next\"}") == 1.0);
        assert!(bench.metric("wasmilter_messages_total{door=\"milter\",verdict=\"accept\"}") == 1.0);
        assert!(bench.metric("wasmilter_stage_duration_seconds_count{stage=\"a\"}") == 1.0);
        assert!(bench.metric("wasmilter_message_duration_seconds_count") == 1.0);
        assert!(bench.metric("wasmilter_message_size_bytes_sum") == judged_size(&bench).await);
        assert!(bench.metric("wasmilter_messages_in_flight") == 0.0);
    });
}

async fn judged_size(bench: &Bench) -> f64 {
    // Subject: Hello, an empty line, Hello, each ended by CRLF.
    let size = bench.judge().await.received.size();
    assert_eq!(size, 16 + 2 + 7);
    25.0
}

#[test]
fn shadow_is_recorded_and_without_effect() {
    paused(async {
        let decision = Decision { facts: score(9.0).facts, ..add_header("X-S", Verdict::Reject(Reply::default())) };
        let (trial, next) = (saying(Ok(decision)), verdict(Verdict::Next));
        let failing = saying(Err(wasmilter_message::failure::Failure::new(Cause::Trap, "unreachable")));
        let mut stages = vec![stage("trial", &trial), stage("failing", &failing), stage("next", &next)];
        stages[0].mode = Mode::Shadow;
        stages[1].mode = Mode::Shadow;
        let bench = Bench::new(stages);
        let judged = bench.judge().await;
        assert_eq!(judged.verdict, Verdict::Accept);
        assert_eq!(next.calls(), 1);
        assert!(judged.message.facts.is_empty() && judged.message.headers == judged.received.headers);
        let [trial, failing, _] = &judged.trace.stages[..] else { panic!("three stages") };
        assert!(trial.shadow && trial.ran);
        assert_eq!(trial.verdict.as_ref().map(Verdict::name), Some("reject"));
        assert_eq!((trial.edits.len(), trial.facts.len()), (1, 1));
        assert_eq!(failing.verdict.as_ref().map(Verdict::name), Some("tempfail"), "what on_failure would have done");
        assert_eq!(failing.failure.as_ref().map(|failure| failure.cause), Some(Cause::Trap));
        assert!(bench.metric("wasmilter_stage_decisions_total{stage=\"trial\",verdict=\"reject\"}") == 1.0);
        assert!(bench.metric("wasmilter_stage_failures_total{cause=\"trap\",stage=\"failing\"}") == 1.0);
    });
}

#[test]
fn doors_are_told_what_is_needed() {
    paused(async {
        let policy = |needs: Needs| {
            let mut fake = verdict(Verdict::Next);
            Arc::get_mut(&mut fake).expect("new").needs = needs;
            fake
        };
        let needs = |stages| Bench::new(stages).pipeline.judge(0).needs();
        let message = Needs { message: true, ..Needs::default() };
        assert_eq!(needs(vec![]), Needs::default());
        assert_eq!(needs(vec![stage("a", &policy(message))]), Needs { headers: true, ..message });
        let rcpt = Needs { rcpt: true, ..Needs::default() };
        assert_eq!(needs(vec![stage("a", &policy(rcpt))]), rcpt);
        let mut by_size = stage("a", &policy(rcpt));
        by_size.when = condition("message.size > 1");
        assert_eq!(needs(vec![by_size]), Needs { headers: true, body: true, ..rcpt });
        let mut editing = stage("a", &policy(message));
        editing.grants.text = true;
        assert_eq!(needs(vec![editing]), Needs { headers: true, body: true, ..message });
        let both = vec![stage("a", &policy(message)), stage("b", &policy(rcpt))];
        assert_eq!(needs(both), Needs { headers: true, rcpt: true, ..message });
    });
}

#[test]
fn a_stage_with_hooks_only_is_passed_over() {
    paused(async {
        let hooks = at_hooks(Needs { rcpt: true, ..Needs::default() }, |_, _| panic!("a message is no hook"));
        let bench = Bench::new(vec![stage("hooks", &hooks)]);
        let judged = bench.judge().await;
        assert_eq!(judged.verdict, Verdict::Accept);
        assert!(!judged.trace.stages[0].ran && judged.trace.stages[0].verdict.is_none());
    });
}
