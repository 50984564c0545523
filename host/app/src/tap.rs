//! `GET /tap`: decisions as they happen, for who watches the host (`wasmilter tap`). One JSON object a line.

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};
use wasmilter_message::failure::Cause;
use wasmilter_pipeline::{
    feed::{Feed, Heard, Listener},
    record::{Record, StageRecord},
};

/// An empty line is sent this long after the last one, so that a listener who has gone is noticed, and one who listens knows that
/// the daemon is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Values of `verdict`.
const VERDICTS: [&str; 6] = ["next", "accept", "reject", "tempfail", "discard", "quarantine"];
/// Any cause, as a value of `failure`.
const ANY: &str = "any";

/// Which decisions somebody wants to see: those for which everything holds that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    stage: Option<String>,
    verdict: Option<String>,
    failure: Option<String>,
    queue_id: Option<String>,
}

impl Filter {
    /// From the query of a request.
    ///
    /// # Errors
    /// What is not known, and what there is, for whoever asked.
    pub(crate) fn parse(query: Vec<(String, String)>) -> Result<Self, String> {
        let mut filter = Self::default();
        for (key, value) in query {
            let known = match key.as_str() {
                "verdict" => VERDICTS.contains(&value.as_str()),
                "failure" => value == ANY || Cause::ALL.iter().any(|cause| cause.name() == value),
                _ => true,
            };
            if !known {
                let causes = Cause::ALL.map(Cause::name);
                let values =
                    if key == "verdict" { VERDICTS.join(", ") } else { format!("{ANY}, {}", causes.join(", ")) };
                return Err(format!("{key} must be one of {values}, is {value:?}"));
            }
            let place = match key.as_str() {
                "stage" => &mut filter.stage,
                "verdict" => &mut filter.verdict,
                "failure" => &mut filter.failure,
                "queue_id" => &mut filter.queue_id,
                _ => return Err(format!("unknown filter {key:?}; there are stage, verdict, failure, queue_id")),
            };
            *place = Some(value);
        }
        Ok(filter)
    }

    fn wants(&self, record: &Record) -> bool {
        if self.queue_id.is_some() && self.queue_id != record.queue_id {
            return false;
        }
        let verdict_fits = |verdict: Option<&str>| self.verdict.as_deref().is_none_or(|wanted| verdict == Some(wanted));
        let fails = |cause: Option<Cause>| {
            cause.is_some_and(|cause| {
                self.failure.as_deref().is_some_and(|wanted| wanted == ANY || wanted == cause.name())
            })
        };
        match &self.stage {
            Some(name) => record.stages.iter().any(|stage| {
                let decided = stage.verdict.is_some() || stage.failure.is_some();
                let failure_fits = self.failure.is_none() || fails(stage.failure);
                *stage.name == **name && decided && verdict_fits(stage.verdict) && failure_fits
            }),
            None => {
                let failed = || fails(record.failure) || record.stages.iter().any(|stage| fails(stage.failure));
                verdict_fits(Some(record.verdict)) && (self.failure.is_none() || failed())
            }
        }
    }
}

/// The lines for one listener, until no pipeline is left or it goes.
pub(crate) fn lines(feed: &Feed, filter: Filter) -> impl Stream<Item = Bytes> + Send + use<> {
    let state = (feed.listen(), filter, Instant::now());
    stream::unfold(state, |(mut listener, filter, last)| async move {
        let line = next_line(&mut listener, &filter, last).await?;
        Some((Bytes::from(line), (listener, filter, Instant::now())))
    })
}

async fn next_line(listener: &mut Listener, filter: &Filter, last: Instant) -> Option<String> {
    loop {
        match timeout_at(last + HEARTBEAT, listener.next()).await {
            Err(_) => return Some("\n".to_owned()),
            Ok(None) => return None,
            Ok(Some(Heard::Lost(lost))) => return Some(format!("{}\n", json!({ "lost": lost }))),
            Ok(Some(Heard::Record(record))) if filter.wants(&record) => return Some(format!("{}\n", object(&record))),
            Ok(Some(Heard::Record(_))) => {}
        }
    }
}

fn object(record: &Record) -> Value {
    json!({
        "time": record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1e3,
        "id": &*record.id,
        "queue_id": record.queue_id,
        "door": record.door,
        "hook": record.hook,
        "verdict": record.verdict,
        "failure": record.failure,
        "size": record.size,
        "microseconds": microseconds(record.took),
        "stages": record.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

fn stage(stage: &StageRecord) -> Value {
    json!({
        "name": &*stage.name,
        "ran": stage.ran,
        "shadow": stage.shadow,
        "verdict": stage.verdict,
        "failure": stage.failure,
        "limit": stage.limit,
        "edits": stage.edits,
        "microseconds": microseconds(stage.took),
        "waited_microseconds": microseconds(stage.waited),
        "cpu_microseconds": microseconds(stage.used.cpu),
        "memory_bytes": stage.used.memory,
    })
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wasmilter_message::{
        decision::{Reply, Verdict},
        failure::Failure,
        limit::Limit,
        policy::Used,
        trace::{StageTrace, Trace},
    };

    fn filter(pairs: &[(&str, &str)]) -> Result<Filter, String> {
        Filter::parse(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn record() -> Record {
        let stage = |name: &str, verdict: Option<Verdict>, failure: Option<Failure>| StageTrace {
            name: Arc::from(name),
            plugin: Arc::from("p"),
            group: None,
            condition: None,
            ran: verdict.is_some(),
            shadow: false,
            dropped: false,
            verdict,
            edits: Vec::new(),
            facts: Vec::new(),
            failure,
            took: Duration::from_micros(7),
            waited: Duration::ZERO,
            used: Used::default(),
        };
        let failed = Failure::limit(Limit::Memory, "wanted more");
        let trace = Trace {
            stages: vec![
                stage("skipped", None, None),
                stage("failed", Some(Verdict::Next), Some(failed)),
                stage("rejects", Some(Verdict::Reject(Reply::text("for your eyes only"))), None),
            ],
            ..Trace::default()
        };
        Record { queue_id: Some("4bYk".to_owned()), ..Record::new("m1", "milter", "reject", &trace) }
    }

    #[test]
    fn filters_choose_by_message_or_by_stage() {
        for (pairs, expected) in [
            (&[][..], true),
            (&[("verdict", "reject")][..], true),
            (&[("verdict", "accept")], false),
            (&[("failure", "any")], true),
            (&[("failure", "memory")], true),
            (&[("failure", "timeout")], false),
            (&[("queue_id", "4bYk")], true),
            (&[("queue_id", "4b")], false),
            (&[("stage", "skipped")], false),
            (&[("stage", "failed")], true),
            (&[("stage", "failed"), ("failure", "memory")], true),
            (&[("stage", "failed"), ("verdict", "reject")], false),
            (&[("stage", "rejects"), ("verdict", "reject")], true),
            (&[("stage", "rejects"), ("failure", "any")], false),
            (&[("stage", "absent")], false),
        ] {
            assert_eq!(filter(pairs).unwrap().wants(&record()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        assert!(filter(&[("verdict", "rejected")]).unwrap_err().contains("one of next, accept, reject"));
        assert!(filter(&[("failure", "x")]).unwrap_err().contains("any, failed"));
        assert!(filter(&[("from", "a@example.org")]).unwrap_err().contains("unknown filter \"from\""));
    }

    #[test]
    fn a_line_says_what_was_decided_and_nothing_of_the_message() {
        let line = object(&record());
        assert_eq!(line["stages"][1]["limit"], "memory");
        assert_eq!(line["stages"][2]["verdict"], "reject");
        assert!(!line.to_string().contains("eyes only"), "{line}");
        assert!(!line.to_string().contains("wanted more"), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_empty_lines() {
        use futures_util::StreamExt;
        let feed = Feed::new(prometheus::IntGauge::new("listeners", "listeners").unwrap());
        let mut lines = Box::pin(lines(&feed, Filter::default()));
        let began = Instant::now();
        assert_eq!(lines.next().await.unwrap(), "\n");
        assert_eq!(began.elapsed(), HEARTBEAT);
    }
}
