//! Routes: which stages a message takes.

use super::fake::*;
use crate::{Plan, Route, Stage};
use std::time::Duration;
use wasmilter_message::{
    decision::{HookVerdict, Reply, Verdict},
    envelope::Mailbox,
    failure::Cause,
    judge::{Hook, Needs},
    message::{JudgedMessage, ReceivedMessage, Transaction},
};

fn route(name: &str, when: Option<&str>, stages: &[&str]) -> Route {
    Route {
        name: name.into(),
        when: when.and_then(condition),
        stages: stages.iter().map(|stage| (*stage).into()).collect(),
    }
}

fn to(recipient: &str) -> ReceivedMessage {
    let mut mail = mail();
    mail.transaction.envelope.recipients = vec![Mailbox::new(format!("<{recipient}>"))];
    mail
}

fn took(judged: &JudgedMessage) -> (Option<&str>, Vec<&str>) {
    (judged.trace.route.as_deref(), judged.trace.stages.iter().map(|stage| &*stage.name).collect())
}

const FOR_A: &str = "envelope.recipients.exists(r, r.domain == 'a')";

#[test]
fn the_first_route_that_takes_a_message_says_which_stages_and_in_which_order() {
    paused(async {
        let next = verdict(Verdict::Next);
        let stages: Vec<Stage> = ["one", "two", "three"].map(|name| stage(name, &next)).into();
        let routes = vec![
            route("a", Some(FOR_A), &["three", "one"]),
            route(
                "also-a",
                Some("'subject' in headers && envelope.recipients.exists(r, r.domain in ['a', 'b'])"),
                &["two"],
            ),
            route("others", None, &[]),
        ];
        let bench = Bench::new(Plan { stages, routes });
        let judge = bench.pipeline.judge(0);
        assert!(judge.needs().headers, "a route looks at them");
        assert_eq!(took(&judge.judge(to("x@a")).await), (Some("a"), vec!["three", "one"]));
        assert_eq!(took(&judge.judge(to("x@b")).await), (Some("also-a"), vec!["two"]));
        let other = judge.judge(to("x@c")).await;
        assert_eq!((took(&other), &other.verdict), ((Some("others"), vec![]), &Verdict::Accept));
    });
}

#[test]
fn without_routes_a_message_takes_all_stages() {
    paused(async {
        let judged = Bench::new(vec![stage("s", &verdict(Verdict::Next))]).judge().await;
        assert_eq!(took(&judged), (None, vec!["s"]));
    });
}

#[test]
fn a_group_is_one_in_a_route_as_well() {
    paused(async {
        let policy = slow(Duration::from_secs(1));
        let of = |name: &str, group: Option<&str>| Stage { group: group.map(Into::into), ..stage(name, &policy) };
        let stages = vec![of("a", Some("g")), of("between", None), of("b", Some("g"))];
        let bench = Bench::new(Plan { stages, routes: vec![route("r", None, &["a", "b"])] });
        let started = tokio::time::Instant::now();
        assert_eq!(took(&bench.judge().await), (Some("r"), vec!["a", "b"]));
        assert_eq!(started.elapsed().as_secs(), 1);
    });
}

#[test]
fn a_route_whose_condition_has_no_value_is_the_hosts_temporary_failure() {
    paused(async {
        let stages = vec![stage("s", &verdict(Verdict::Next))];
        let routes =
            vec![route("broken", Some("envelope.recipients[7].domain == 'a'"), &[]), route("rest", None, &["s"])];
        let bench = Bench::new(Plan { stages, routes });
        let judged = bench.judge().await;
        assert_eq!(judged.verdict.name(), "tempfail");
        let failure = judged.trace.host.expect("no route was found");
        assert!(failure.cause == Cause::Condition && failure.detail.contains("broken"), "{failure}");
        assert!(bench.metric("wasmilter_host_failures_total{cause=\"condition\"}") == 1.0);
    });
}

/// At RCPT by the recipient that it is about, which is not accepted yet.
#[test]
fn hooks_take_the_route_of_what_is_known_by_then() {
    paused(async {
        let needs = Needs { rcpt: true, ..Needs::default() };
        let refusing = at_hooks(needs, |_, _| hook_verdict(HookVerdict::Reject(Reply::text("no"))));
        let routes = vec![route("a", Some(FOR_A), &["s"]), route("rest", None, &[])];
        let bench = Bench::new(Plan { stages: vec![stage("s", &refusing)], routes });
        let judge = bench.pipeline.judge(0);
        assert!(judge.needs().rcpt);
        let ask = async |recipient: &str| {
            judge.hook(Hook::Rcpt(Mailbox::new(recipient)), Transaction::default()).await.verdict
        };
        assert_eq!(ask("<x@b>").await, HookVerdict::Next);
        assert_eq!(ask("<x@a>").await, HookVerdict::Reject(Reply::text("no")));
        assert_eq!(refusing.calls(), 1);
    });
}
