//! What listeners hear of messages and hooks.

use super::fake::*;
use crate::{Mode, feed::Heard, record::Record};
use std::{sync::Arc, time::Duration};
use wasmilter_message::{
    decision::{HookVerdict, Reply, Verdict},
    failure::{Cause, Failure},
    judge::{Hook, Needs},
    limit::Limit,
};

async fn heard(listener: &mut crate::feed::Listener) -> Arc<Record> {
    match listener.next().await {
        Some(Heard::Record(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_told_with_its_stages() {
    paused(async {
        let fails = saying(Err(Failure::limit(Limit::Memory, "a detail")));
        let mut fails = stage("fails", &fails);
        fails.on_failure = crate::OnFailure::Skip;
        let rejects = verdict(Verdict::Reject(Reply::text("not for listeners")));
        let bench = Bench::new(vec![stage("slow", &slow(Duration::from_secs(2))), fails, stage("rejects", &rejects)]);
        let mut listener = bench.feed.listen();
        bench.judge().await;
        let record = heard(&mut listener).await;
        assert_eq!((&*record.id, record.queue_id.as_deref(), record.verdict), ("m1", Some("4F2c"), "reject"));
        assert_eq!((record.hook, record.door, record.took), (None, "milter", Duration::from_secs(2)));
        let [slow, fails, rejects] = &record.stages[..] else { panic!("{record:?}") };
        assert_eq!((slow.verdict, slow.before_verdict, slow.took), (Some("next"), record.took, record.took));
        assert_eq!(
            (fails.failure, fails.limit, fails.verdict),
            (Some(Cause::Memory), Some(Limit::Memory), Some("next"))
        );
        assert_eq!((rejects.verdict, rejects.before_verdict), (Some("reject"), Duration::ZERO));
        assert!(!format!("{record:?}").contains("not for listeners"));
        assert!(!format!("{record:?}").contains("a detail"));
    });
}

#[test]
fn a_hook_is_told_with_what_a_shadow_would_have_said() {
    paused(async {
        let needs = Needs { mail: true, ..Needs::default() };
        let rejecting = || at_hooks(needs, |_, _| hook_verdict(HookVerdict::Reject(Reply::text("no"))));
        let mut shadow = stage("shadow", &rejecting());
        shadow.mode = Mode::Shadow;
        let bench = Bench::new(vec![shadow, stage("counts", &rejecting())]);
        let mut listener = bench.feed.listen();
        bench.pipeline.judge(0).hook(Hook::Mail, mail().transaction).await;
        let record = heard(&mut listener).await;
        assert_eq!((record.hook, record.verdict, record.size), (Some("mail"), "reject", 0));
        let said: Vec<_> = record.stages.iter().map(|stage| (&*stage.name, stage.shadow, stage.verdict)).collect();
        assert_eq!(said, [("shadow", true, Some("reject")), ("counts", false, Some("reject"))]);
    });
}
