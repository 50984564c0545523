//! Envelope hooks: who is asked, in which order, and what is kept.

use super::fake::*;
use crate::{Limits, Mode, OnFailure};
use std::time::Duration;
use wasmilter_message::{
    decision::{HookDecision, HookVerdict, Reply, Verdict},
    envelope::Mailbox,
    facts::Value,
    judge::{Hook, Needs},
    message::Transaction,
};

const ALL: Needs =
    Needs { connect: true, helo: true, mail: true, rcpt: true, message: false, headers: false, body: false };

#[test]
fn only_who_wants_the_hook_is_asked_in_order_and_the_first_that_decides_wins() {
    paused(async {
        let diary = Diary::default();
        let asked = |name: &'static str, needs, verdict: HookVerdict| {
            let diary = diary.clone();
            at_hooks(needs, move |hook, _| {
                diary.write(format!("{name} {}", hook.name()));
                hook_verdict(verdict.clone())
            })
        };
        let reject = HookVerdict::Reject(Reply::text("no"));
        let rcpt = Needs { rcpt: true, ..Needs::default() };
        let bench = Bench::new(vec![
            stage("a", &asked("a", ALL, HookVerdict::Next)),
            stage("b", &asked("b", rcpt, reject.clone())),
            stage("c", &asked("c", ALL, HookVerdict::Next)),
        ]);
        let judge = bench.pipeline.judge(0);
        for hook in [Hook::Connect, Hook::Helo, Hook::Mail] {
            assert_eq!(judge.hook(hook, Transaction::default()).await.verdict, HookVerdict::Next);
        }
        let judged = judge.hook(Hook::Rcpt(Mailbox::new("<a@x>")), Transaction::default()).await;
        assert_eq!(judged.verdict, reject);
        let expected = ["a connect", "c connect", "a helo", "c helo", "a mail", "c mail", "a rcpt", "b rcpt"];
        assert_eq!(diary.lines(), expected);
        assert!(bench.metric("wasmilter_stage_decisions_total{stage=\"b\",verdict=\"reject\"}") == 1.0);
    });
}

#[test]
fn facts_are_kept_in_the_transaction_and_reach_the_message() {
    paused(async {
        let publishing = at_hooks(ALL, |hook, so_far| {
            let seen = so_far.facts.iter().count();
            #[allow(clippy::cast_precision_loss, reason = "a few facts")]
            let facts = vec![fact(hook.name(), Value::Number(seen as f64))];
            Ok(HookDecision { verdict: HookVerdict::Next, facts })
        });
        let (wanted, unwanted) = (verdict(Verdict::Next), verdict(Verdict::Next));
        let mut stages = vec![stage("env", &publishing), stage("wanted", &wanted), stage("unwanted", &unwanted)];
        stages[1].when = condition("facts.env.connect == 0 && facts.env.mail == 1");
        stages[2].when = condition("has(facts.env.rcpt)");
        let bench = Bench::new(stages);
        let judge = bench.pipeline.judge(0);
        let mut transaction = mail().transaction;
        for hook in [Hook::Connect, Hook::Mail] {
            transaction.facts = judge.hook(hook, transaction.clone()).await.facts;
        }
        judge.judge(wasmilter_message::message::ReceivedMessage { transaction, ..mail() }).await;
        assert_eq!((wanted.calls(), unwanted.calls()), (1, 0));
    });
}

/// Conditions are computed on what is there.
#[test]
fn conditions_hold_at_hooks_too() {
    paused(async {
        let asked = at_hooks(ALL, |_, _| hook_verdict(HookVerdict::Reject(Reply::default())));
        let mut stages = vec![stage("s", &asked)];
        stages[0].when = condition("envelope.sender.domain == 'example.org' && message.size < 1000");
        let bench = Bench::new(stages);
        let judge = bench.pipeline.judge(0);
        assert_eq!(judge.hook(Hook::Connect, Transaction::default()).await.verdict, HookVerdict::Next);
        let judged = judge.hook(Hook::Mail, mail().transaction).await;
        assert!(matches!(judged.verdict, HookVerdict::Reject(_)));
        assert_eq!(asked.calls(), 1);
    });
}

#[test]
fn shadow_has_no_effect_at_hooks() {
    paused(async {
        let asked = at_hooks(ALL, |_, _| {
            let facts = vec![fact("seen", Value::Flag(true))];
            Ok(HookDecision { verdict: HookVerdict::Reject(Reply::default()), facts })
        });
        let mut stages = vec![stage("s", &asked)];
        stages[0].mode = Mode::Shadow;
        let judged = Bench::new(stages).pipeline.judge(0).hook(Hook::Mail, Transaction::default()).await;
        assert_eq!(judged.verdict, HookVerdict::Next);
        assert!(judged.facts.is_empty());
        assert_eq!(asked.calls(), 1);
    });
}

#[test]
fn a_malformed_answer_is_refused() {
    paused(async {
        let asked = at_hooks(ALL, |_, _| hook_verdict(HookVerdict::Reject(Reply { code: 250, ..Reply::default() })));
        let bench = Bench::new(vec![stage("s", &asked)]);
        let judged = bench.pipeline.judge(0).hook(Hook::Mail, Transaction::default()).await;
        assert!(matches!(judged.verdict, HookVerdict::Tempfail(_)));
        assert!(bench.metric("wasmilter_stage_failures_total{cause=\"refused\",stage=\"s\"}") == 1.0);
    });
}

#[test]
fn a_full_gate_answers_hooks_by_a_temporary_failure() {
    paused(async {
        let slow = slow(Duration::from_secs(10));
        let asked = at_hooks(ALL, |_, _| hook_verdict(HookVerdict::Next));
        let limits = Limits { in_flight: 1, ..Limits::default() };
        let bench = Bench::with(vec![stage("slow", &slow), stage("s", &asked)], limits);
        let judge = bench.pipeline.judge(0);
        let (_, judged) = tokio::join!(bench.judge(), judge.hook(Hook::Mail, Transaction::default()));
        assert!(matches!(judged.verdict, HookVerdict::Tempfail(_)));
        assert!(bench.metric("wasmilter_host_failures_total{cause=\"overload\"}") == 1.0);
    });
}

/// The door gives up after 5 s, and Sendmail after 10 s: whatever the stage's own time limit is.
#[test]
fn a_slow_hook_gets_what_on_failure_says_before_the_door_gives_up() {
    for (on_failure, refused) in [(OnFailure::Skip, false), (OnFailure::Tempfail, true)] {
        paused(async move {
            let mut stages = vec![stage("s", &slow_at_hooks(ALL, Duration::from_secs(60)))];
            stages[0].timeout = Duration::from_secs(30);
            stages[0].on_failure = on_failure;
            let bench = Bench::new(stages);
            let started = tokio::time::Instant::now();
            let judged = bench.pipeline.judge(0).hook(Hook::Mail, Transaction::default()).await;
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            assert_eq!(matches!(judged.verdict, HookVerdict::Tempfail(_)), refused);
            assert!(bench.metric("wasmilter_stage_failures_total{cause=\"timeout\",stage=\"s\"}") == 1.0);
        });
    }
}
