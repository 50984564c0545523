//! Each kind of failure under each `on_failure`, at messages and at hooks; and what is refused.

use super::fake::*;
use crate::{Limits, OnFailure};
use std::{io, sync::Arc, time::Duration};
use wasmilter_message::{
    apply::EditGrants,
    body::{BodyStore, BodyWriter, InMemory},
    decision::{Annotation, Decision, Edit, HookVerdict, NewHeader, Reply, Verdict},
    envelope::Mailbox,
    facts::Value,
    failure::{Cause, Failure},
    judge::{Hook, Needs},
    message::Transaction,
};

const EVERY: [(OnFailure, &str); 5] = [
    (OnFailure::Tempfail, "tempfail"),
    (OnFailure::Skip, "next"),
    (OnFailure::Reject, "reject"),
    (OnFailure::Quarantine, "quarantine"),
    (OnFailure::Accept, "accept"),
];

/// Causes that the plugin's side reports are handed through as they are.
#[test]
fn every_reported_cause_under_every_policy() {
    let reported = [
        Cause::Failed,
        Cause::Service,
        Cause::Trap,
        Cause::Timeout,
        Cause::Memory,
        Cause::Limit,
        Cause::Refused,
        Cause::Configure,
    ];
    paused(async {
        for cause in reported {
            for (on_failure, expected) in EVERY {
                let failing = saying(Err(Failure::new(cause, "detail")));
                let after = verdict(Verdict::Next);
                let mut stages = vec![stage("s", &failing), stage("after", &after)];
                stages[0].on_failure = on_failure;
                let bench = Bench::new(stages);
                let judged = bench.judge().await;
                let stage = &judged.trace.stages[0];
                assert_eq!(stage.verdict.as_ref().map(Verdict::name), Some(expected), "{cause:?} {on_failure:?}");
                assert_eq!(stage.failure, Some(Failure::new(cause, "detail")));
                assert!(stage.ran);
                assert_eq!(after.calls(), usize::from(on_failure == OnFailure::Skip));
                let ended = if expected == "next" { "accept" } else { expected };
                assert_eq!(judged.verdict.name(), ended);
                let series = format!("wasmilter_stage_failures_total{{cause=\"{}\",stage=\"s\"}}", cause.name());
                assert!(bench.metric(&series) == 1.0);
                assert!(judged.trace.host.is_none(), "a stage's failure is not the host's");
            }
        }
    });
}

#[test]
fn what_the_client_hears_says_nothing_of_the_inside() {
    paused(async {
        for (on_failure, code) in [(OnFailure::Tempfail, 451), (OnFailure::Reject, 554)] {
            let failing = saying(Err(Failure::new(Cause::Trap, "secret")));
            let mut stages = vec![stage("internal-name", &failing)];
            stages[0].on_failure = on_failure;
            let (Verdict::Tempfail(reply) | Verdict::Reject(reply)) = Bench::new(stages).judge().await.verdict else {
                panic!("a reply")
            };
            assert_eq!(reply.code, code);
            assert!(!reply.text.contains("secret") && !reply.text.contains("internal-name"), "{}", reply.text);
        }
        let failing = saying(Err(Failure::new(Cause::Trap, "secret")));
        let mut stages = vec![stage("virus", &failing)];
        stages[0].on_failure = OnFailure::Quarantine;
        let expected = Verdict::Quarantine { reason: "stage virus failed: trap".to_owned() };
        assert_eq!(Bench::new(stages).judge().await.verdict, expected);
    });
}

/// Every policy for the failures that the pipeline itself finds.
#[test]
fn every_found_cause_under_every_policy() {
    for (on_failure, expected) in EVERY {
        paused(async move {
            let ended = if expected == "next" { "accept" } else { expected };
            let check = async |cause: Cause, ran: bool, stage_: crate::Stage| {
                let judged = Bench::new(vec![crate::Stage { on_failure, ..stage_ }]).judge().await;
                assert_eq!(judged.verdict.name(), ended, "{cause:?} {on_failure:?}");
                let stage = &judged.trace.stages[0];
                assert_eq!(stage.failure.as_ref().map(|failure| failure.cause), Some(cause));
                assert_eq!((stage.ran, stage.verdict.as_ref().map(Verdict::name)), (ran, Some(expected)), "{cause:?}");
            };
            check(Cause::Timeout, true, stage("s", &slow(Duration::from_secs(3600)))).await;
            check(Cause::Died, true, stage("s", &acting(|_, _| async { panic!("the plugin's host panics") }))).await;
            let wrong = crate::Stage {
                when: condition("facts.x.y > 'a' || message.size / 0 == 1"),
                ..stage("s", &verdict(Verdict::Next))
            };
            check(Cause::Condition, false, wrong).await;
            let no_header = NewHeader { name: "X Y".to_owned(), value: String::new() };
            let edits = vec![Edit::AddHeader(no_header)];
            let forged = Decision { edits, ..Decision::verdict(Verdict::Next) };
            check(Cause::Refused, true, stage("s", &saying(Ok(forged)))).await;
            let not_granted = Decision { edits: vec![Edit::RemovePart(0)], ..Decision::verdict(Verdict::Next) };
            check(Cause::Refused, true, stage("s", &saying(Ok(not_granted)))).await;
        });
    }
}

#[test]
fn decisions_that_are_malformed_are_refused() {
    let reply = |code, enhanced: &str, text: &str| Reply { code, enhanced: enhanced.to_owned(), text: text.to_owned() };
    let with_fact = |fact| Decision { facts: vec![fact], ..Decision::verdict(Verdict::Next) };
    for (decision, reason) in [
        (Decision::verdict(Verdict::Reject(reply(450, "", ""))), "reply code must be 500 to 599"),
        (Decision::verdict(Verdict::Tempfail(reply(0, "5.7.1", ""))), "enhanced status code must be 4.n.n"),
        (Decision::verdict(Verdict::Reject(reply(0, "", "a\r\nb"))), "must not contain CR"),
        (Decision::verdict(Verdict::Quarantine { reason: "x".repeat(101) }), "at most 100 characters"),
        (Decision::verdict(Verdict::Quarantine { reason: "a\nb".to_owned() }), "control characters"),
        (with_fact(fact("Score", Value::Number(1.0))), "name of fact 1"),
        (with_fact(fact("", Value::Number(1.0))), "name of fact 1"),
        (with_fact(fact(&"a".repeat(65), Value::Number(1.0))), "name of fact 1"),
        (with_fact(fact("score", Value::Number(f64::NAN))), "must be a number, is NaN"),
    ] {
        paused(async {
            let judged = Bench::new(vec![stage("s", &saying(Ok(decision.clone())))]).judge().await;
            let failure = judged.trace.stages[0].failure.clone().expect("refused");
            assert_eq!(failure.cause, Cause::Refused);
            assert!(failure.detail.contains(reason), "{decision:?}: {failure}");
            assert!(judged.message.facts.is_empty());
        });
    }
    paused(async {
        let fine = Verdict::Quarantine { reason: "ü".repeat(100) };
        assert_eq!(Bench::new(vec![stage("s", &verdict(fine.clone()))]).judge().await.verdict, fine);
    });
}

/// A disk that is always full.
struct Full;

impl BodyStore for Full {
    fn start(&self) -> Box<dyn BodyWriter> {
        Box::new(Self)
    }
}

impl BodyWriter for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
    }

    fn len(&self) -> u64 {
        0
    }

    fn finish(self: Box<Self>) -> io::Result<bytes::Bytes> {
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
    }
}

#[test]
fn a_full_disk_is_a_temporary_failure_whatever_the_policy() {
    for (on_failure, _) in EVERY {
        paused(async move {
            let edits = vec![Edit::AppendText(Annotation { plain: "new".to_owned(), html: String::new() })];
            let bench = |said: Verdict| {
                let decision = Decision { edits: edits.clone(), ..Decision::verdict(said) };
                let mut stages = vec![stage("s", &saying(Ok(decision)))];
                stages[0].on_failure = on_failure;
                stages[0].grants = EditGrants { text: true, ..EditGrants::default() };
                let metrics = crate::Metrics::register(&prometheus::Registry::new()).expect("new");
                crate::Pipeline::start(stages, Limits::default(), Arc::new(Full), metrics, &[])
            };
            let judged = bench(Verdict::Next).judge(0).judge(mail()).await;
            let Verdict::Tempfail(reply) = judged.verdict else { panic!("{:?}", judged.verdict) };
            assert_eq!(reply.enhanced, "4.3.1");
            assert_eq!(judged.trace.host.map(|failure| failure.cause), Some(Cause::Store));
            // Nobody would have seen the changed body.
            let judged = bench(Verdict::Discard).judge(0).judge(mail()).await;
            assert_eq!(judged.verdict, Verdict::Discard);
        });
    }
}

/// A store with a bug.
struct Broken;

impl BodyStore for Broken {
    fn start(&self) -> Box<dyn BodyWriter> {
        panic!("a bug of the host, as the test wants it")
    }
}

/// On the arbiter for a small body, beside it for a large one.
#[test]
fn a_panic_of_the_host_is_a_temporary_failure() {
    for size in [10, 1 << 20] {
        paused(async move {
            let edits = vec![Edit::AppendText(Annotation { plain: "new".to_owned(), html: String::new() })];
            let decision = Decision { edits, ..Decision::verdict(Verdict::Next) };
            let mut stages = vec![stage("s", &saying(Ok(decision)))];
            stages[0].grants = EditGrants { text: true, ..EditGrants::default() };
            stages[0].on_failure = OnFailure::Accept;
            let mut message = mail();
            message.body = "0123456789ABCDEF\r\n".repeat(size / 16 + 1).into();
            let metrics = || crate::Metrics::register(&prometheus::Registry::new()).expect("new");
            let limits = Limits { in_flight: 1, ..Limits::default() };
            let pipeline = crate::Pipeline::start(stages.clone(), limits, Arc::new(Broken), metrics(), &[]);
            for _ in 0..2 {
                let judged = pipeline.judge(0).judge(message.clone()).await;
                assert_eq!(judged.verdict.name(), "tempfail");
                assert_eq!(judged.trace.host.map(|failure| failure.cause), Some(Cause::Died), "{size}");
            }
            // The same with a store that works: the edit is applied.
            let pipeline = crate::Pipeline::start(stages, Limits::default(), Arc::new(InMemory), metrics(), &[]);
            let judged = pipeline.judge(0).judge(message.clone()).await;
            assert_eq!(judged.verdict, Verdict::Accept);
            assert!(judged.message.body.ends_with(b"new\r\n") && judged.received.body == message.body, "{size}");
        });
    }
}

#[test]
fn at_hooks_under_every_policy() {
    for (on_failure, expected) in EVERY {
        paused(async move {
            let needs = Needs { rcpt: true, ..Needs::default() };
            let failing = at_hooks(needs, |_, _| Err(Failure::new(Cause::Trap, "unreachable")));
            let mut stages = vec![stage("s", &failing)];
            stages[0].on_failure = on_failure;
            let judge = Bench::new(stages).pipeline.judge(0);
            let verdict = judge.hook(Hook::Rcpt(Mailbox::new("<a@x>")), Transaction::default()).await.verdict;
            match expected {
                "next" | "accept" => assert_eq!(verdict, HookVerdict::Next),
                "reject" => assert!(matches!(verdict, HookVerdict::Reject(_))),
                _ => assert!(matches!(verdict, HookVerdict::Tempfail(_)), "{on_failure:?}"),
            }
        });
    }
}
