//! Groups: stages that are asked at once, and what they say counts as if they had been asked one after the other.

use super::fake::*;
use crate::{Mode, OnFailure, Stage};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;
use wasmilter_message::{
    apply::EditGrants,
    decision::{Annotation, Decision, Edit, HookVerdict, NewHeader, Reply, Verdict},
    failure::{Cause, Failure},
    judge::{Hook, Needs},
    message::{JudgedMessage, Transaction},
    turn,
};

const SECOND: Duration = Duration::from_secs(1);

fn header(name: &str, value: &str) -> NewHeader {
    NewHeader { name: name.to_owned(), value: value.to_owned() }
}

fn edits(edits: Vec<Edit>) -> Decision {
    Decision { edits, ..Decision::verdict(Verdict::Next) }
}

fn reject(text: &str) -> Verdict {
    Verdict::Reject(Reply::text(text))
}

/// A stage of the group `g` that says so after a while.
fn member(name: &str, after: Duration, says: Result<Decision, Failure>) -> Stage {
    let policy = acting(move |_, _| {
        let says = says.clone();
        async move {
            turn::outside(tokio::time::sleep(after)).await;
            says
        }
    });
    Stage { group: Some("g".into()), ..stage(name, &policy) }
}

/// Names and values of all header fields.
fn fields(judged: &JudgedMessage) -> Vec<String> {
    judged.message.headers.fields().map(|field| String::from_utf8_lossy(&field.value).into_owned()).collect()
}

fn traced(judged: &JudgedMessage) -> Vec<(&str, Option<&str>, bool)> {
    let stages = judged.trace.stages.iter();
    stages.map(|stage| (&*stage.name, stage.verdict.as_ref().map(Verdict::name), stage.dropped)).collect()
}

#[test]
fn all_run_at_once_and_none_sees_what_the_others_do() {
    paused(async {
        let seen = acting(|message, _| async move {
            turn::outside(tokio::time::sleep(3 * SECOND)).await;
            let clean = message.facts.is_empty() && message.headers.named("X-A").next().is_none();
            Ok(if clean { score(2.0) } else { Decision::verdict(reject("has seen it")) })
        });
        let first = Decision { facts: score(1.0).facts, ..edits(vec![Edit::AddHeader(header("X-A", "a"))]) };
        let stages = vec![
            member("a", SECOND, Ok(first)),
            Stage { group: Some("g".into()), when: condition("!has(facts.a.score)"), ..stage("b", &seen) },
            Stage { when: condition("facts.a.score + facts.b.score == 3"), ..stage("c", &verdict(Verdict::Discard)) },
        ];
        let started = Instant::now();
        let judged = Bench::new(stages).judge().await;
        assert_eq!(judged.verdict, Verdict::Discard, "{:?}", judged.trace);
        assert!(started.elapsed() < 3 * SECOND + SECOND / 10, "{:?}", started.elapsed());
        let groups: Vec<_> = judged.trace.stages.iter().map(|stage| stage.group.as_deref()).collect();
        assert_eq!(groups, [Some("g"), Some("g"), None]);
    });
}

/// Whatever the order in which they answer: it is that of the configuration which counts.
#[test]
fn the_first_in_order_that_ends_the_run_wins_and_later_ones_are_dropped() {
    paused(async {
        for (a, b) in [(1, 2), (2, 1)] {
            let added = edits(vec![Edit::AddHeader(header("X-C", "c"))]);
            let last = member("c", 3600 * SECOND, Ok(added));
            let quick = member("d", Duration::ZERO, Ok(Decision::verdict(Verdict::Discard)));
            let never = Stage { when: condition("false"), ..member("e", SECOND, Ok(score(1.0))) };
            let stages = vec![
                member("a", a * SECOND, Ok(score(1.0))),
                member("b", b * SECOND, Ok(Decision::verdict(reject("b")))),
                last,
                quick,
                never,
                stage("after", &verdict(Verdict::Discard)),
            ];
            let bench = Bench::new(stages);
            let started = Instant::now();
            let judged = bench.judge().await;
            assert_eq!(judged.verdict, reject("b"));
            assert!(started.elapsed() < 2 * SECOND + SECOND / 10, "as soon as it is certain: {:?}", started.elapsed());
            let expected = [
                ("a", Some("next"), false),
                ("b", Some("reject"), false),
                ("c", None, true),
                ("d", Some("discard"), true),
                ("e", None, false),
            ];
            assert_eq!(traced(&judged), expected);
            assert!(judged.trace.stages[2].ran && !judged.trace.stages[4].ran);
            tokio::time::sleep(SECOND).await;
            assert!(bench.metric("wasmilter_stage_in_flight{stage=\"c\"}") == 0.0, "its call was ended");
            assert!(bench.metric("wasmilter_stage_decisions_total{stage=\"d\",verdict=\"discard\"}") == 0.0);
        }
    });
}

/// What it says later than another does not make it win.
#[test]
fn nothing_is_certain_while_an_earlier_one_has_not_spoken() {
    paused(async {
        let stages = vec![
            member("a", 2 * SECOND, Ok(Decision::verdict(Verdict::Accept))),
            member("b", SECOND, Ok(Decision::verdict(reject("b")))),
        ];
        let judged = Bench::new(stages).judge().await;
        assert_eq!(judged.verdict, Verdict::Accept);
        assert_eq!(traced(&judged), [("a", Some("accept"), false), ("b", Some("reject"), true)]);
    });
}

#[test]
fn failures_count_in_their_place() {
    paused(async {
        let failed = |cause| Err(Failure::new(cause, "test"));
        let skipping = Stage { on_failure: OnFailure::Skip, ..member("a", SECOND, failed(Cause::Trap)) };
        let hanging = Stage { timeout: 2 * SECOND, ..member("b", 3600 * SECOND, Ok(score(1.0))) };
        let bench = Bench::new(vec![skipping, hanging, member("c", SECOND, Ok(Decision::verdict(Verdict::Discard)))]);
        let judged = bench.judge().await;
        assert_eq!(judged.verdict.name(), "tempfail");
        assert_eq!(
            traced(&judged),
            [("a", Some("next"), false), ("b", Some("tempfail"), false), ("c", Some("discard"), true)]
        );
        assert!(bench.metric("wasmilter_stage_failures_total{cause=\"timeout\",stage=\"b\"}") == 1.0);
    });
}

#[test]
fn a_shadow_does_nothing_in_a_group_either() {
    paused(async {
        let shadow = Stage { mode: Mode::Shadow, ..member("a", SECOND, Ok(Decision::verdict(reject("a")))) };
        let change = edits(vec![Edit::SetSubject("changed".to_owned())]);
        let second = Stage { mode: Mode::Shadow, ..member("b", SECOND, Ok(change)) };
        let judged = Bench::new(vec![shadow, second, member("c", SECOND, Ok(score(1.0)))]).judge().await;
        assert_eq!(judged.verdict, Verdict::Accept);
        assert_eq!(traced(&judged)[0], ("a", Some("reject"), false));
        assert_eq!((fields(&judged), judged.trace.stages[1].edits.len()), (vec![" Hello".to_owned()], 1));
        assert_eq!(judged.message.facts.iter().count(), 1);
    });
}

/// Both know the message as it came; what they do to it can not be done together, and the later one loses.
#[test]
fn edits_that_do_not_go_together_are_the_later_ones_failure() {
    paused(async {
        let all = EditGrants { headers: true, text: true, raw: true, ..EditGrants::default() };
        let text = Annotation { plain: "text".to_owned(), html: String::new() };
        let annotate = edits(vec![Edit::AppendText(text)]);
        let replace =
            edits(vec![Edit::ReplaceContent { headers: Vec::new(), body: bytes::Bytes::from_static(b"new\r\n") }]);
        let mut stages = vec![
            member("a", 2 * SECOND, Ok(annotate)),
            member("b", SECOND, Ok(replace)),
            member("c", SECOND, Ok(score(1.0))),
        ];
        stages.iter_mut().for_each(|stage| stage.grants = all);
        stages[1].on_failure = OnFailure::Skip;
        stages[1].breaker.failures = 1;
        let bench = Bench::new(stages);
        for _message in 0..3 {
            let judged = bench.judge().await;
            assert_eq!(judged.verdict, Verdict::Accept);
            let failure = judged.trace.stages[1].failure.clone().expect("b lost");
            assert_eq!(failure.cause, Cause::Refused, "{failure}");
            assert!(failure.detail.contains("other stages of the group"), "{failure}");
            assert!(
                judged.message.body.starts_with(b"Hello\r\n") && judged.message.body.len() > 7,
                "{:?}",
                judged.message.body
            );
            assert_eq!(judged.message.facts.iter().count(), 1);
        }
        assert!(bench.metric("wasmilter_stage_breaker_state{stage=\"b\"}") == 0.0, "the plugin is not to blame");
    });
}

#[test]
fn a_stage_needs_its_own_grants() {
    paused(async {
        let adds = |name: &str| edits(vec![Edit::AddHeader(header(name, "x"))]);
        let mut stages = vec![member("a", SECOND, Ok(adds("X-A"))), member("b", SECOND, Ok(adds("X-B")))];
        stages[1].grants = EditGrants::default();
        let judged = Bench::new(stages).judge().await;
        assert_eq!(judged.verdict.name(), "tempfail");
        let failure = judged.trace.stages[1].failure.clone().expect("b was not granted it");
        assert!(failure.detail.contains("grant"), "{failure}");
    });
}

#[test]
fn neighbours_of_one_group_are_together_and_others_are_not() {
    paused(async {
        let policy = slow(SECOND);
        let of = |name: &str, group: Option<&str>| Stage { group: group.map(Into::into), ..stage(name, &policy) };
        let stages = vec![of("a", Some("g")), of("b", Some("g")), of("c", Some("h")), of("d", None), of("e", None)];
        let started = Instant::now();
        assert_eq!(Bench::new(stages).verdict().await, "accept");
        assert_eq!(started.elapsed().as_secs(), 4);
        assert_eq!(policy.most.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn at_hooks_they_are_asked_one_after_the_other() {
    paused(async {
        let needs = Needs { mail: true, ..Needs::default() };
        let first = at_hooks(needs, |_, _| hook_verdict(HookVerdict::Reject(Reply::text("no"))));
        let second = at_hooks(needs, |_, _| hook_verdict(HookVerdict::Next));
        let of = |name: &str, policy: &Arc<Fake>| Stage { group: Some("g".into()), ..stage(name, policy) };
        let bench = Bench::new(vec![of("a", &first), of("b", &second)]);
        let judged = bench.pipeline.judge(0).hook(Hook::Mail, Transaction::default()).await;
        assert_eq!(judged.verdict, HookVerdict::Reject(Reply::text("no")));
        assert_eq!((first.calls(), second.calls()), (1, 0));
    });
}

/// Stages that do not look at what the others do give the same in a group as one after the other, whatever they change, say
/// and in which order they answer.
#[test]
fn a_group_of_independent_stages_gives_what_one_after_the_other_gives() {
    paused(async {
        let mut random = Random(0x5eed);
        for round in 0..300 {
            let number = 2 + random.below(4);
            let says: Vec<_> =
                (0..number).map(|place| (random.decision(place), random.below(3), random.below(8))).collect();
            let stages = |grouped: bool| {
                says.iter().zip(["a", "b", "c", "d", "e"]).map(move |((says, after, failure), name)| {
                    let mut stage = member(name, SECOND * *after, says.clone());
                    stage.group = grouped.then(|| "g".into());
                    stage.grants = EditGrants {
                        headers: true,
                        text: true,
                        attachments: true,
                        raw: true,
                        recipients: true,
                        set_client: true,
                    };
                    stage.on_failure = if *failure == 0 { OnFailure::Tempfail } else { OnFailure::Skip };
                    stage
                })
            };
            let bench = |grouped| Bench::new(stages(grouped).collect::<Vec<_>>());
            let (group, sequence) = (bench(true), bench(false));
            let (group, sequence) = (group.judge().await, sequence.judge().await);
            let (shown, expected) = [&group, &sequence].map(outcome).into();
            assert_eq!(shown, expected, "round {round}: {says:?}");
        }
    });
}

/// All that leaves the pipeline.
fn outcome(judged: &JudgedMessage) -> (Verdict, Vec<u8>, String, String) {
    let mut bytes = Vec::new();
    judged.message.write_to(&mut bytes).expect("memory");
    let envelope = format!("{:?}", judged.message.envelope);
    (judged.verdict.clone(), bytes, envelope, format!("{:?}", judged.message.facts))
}

/// Numbers as good as random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    /// Of the stage at that place: it touches only what is its own.
    fn decision(&mut self, place: u32) -> Result<Decision, Failure> {
        if self.below(10) == 0 {
            return Err(Failure::new(Cause::Trap, "test"));
        }
        let mut all = Vec::new();
        for number in 0..self.below(4) {
            let named = |what: &str| header(&format!("X-{what}-{place}"), &format!("{what} {place} {number}"));
            let text = || Annotation { plain: format!("text {place} {number}"), html: String::new() };
            all.push(match self.below(5) {
                0 => Edit::AddHeader(named("Added")),
                1 => Edit::InsertHeader(named("Inserted")),
                2 => Edit::AppendText(text()),
                3 => Edit::PrependText(text()),
                _ => Edit::SetSubject(format!("subject {place} {number}")),
            });
        }
        let verdict = match self.below(12) {
            0 => Verdict::Accept,
            1 => reject(&format!("by {place}")),
            2 => Verdict::Discard,
            _ => Verdict::Next,
        };
        let facts = (0..self.below(2)).flat_map(|score_of| score(f64::from(score_of)).facts).collect();
        Ok(Decision { verdict, edits: all, facts })
    }
}
