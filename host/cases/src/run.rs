//! Making a case's calls.

use crate::{
    case::{Ask, Call, Case},
    edit_line::edit_line,
    outcome::{Outcome, Said},
    script::{Clock, Strayed, dns, services, store},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use wasmilter_message::{
    apply::{self, ApplyError},
    body::InMemory,
    deadline::Deadline,
    decision::{HookVerdict, Reply, Verdict},
    envelope::Envelope,
    facts::Fact,
    failure::{Cause, Failure},
    judge::{Hook, Needs},
    message::{ParsedMessage, ReceivedMessage, Transaction},
    policy::Policy,
};
use wasmilter_wasm::{Component, Isolation, Limits, Outside, Plugin, PrepareError, Sandbox, StageSettings};

/// Runs cases of one plugin.
#[derive(Clone)]
pub struct Runner<'a> {
    /// Where it runs. With a cache a configuration is compiled only once.
    pub sandbox: &'a Sandbox,
    /// The plugin.
    pub component: &'a Component,
    /// What one call may use.
    pub limits: Limits,
    /// How long one call may take.
    pub time: Duration,
}

/// The stage's name, in logs.
const STAGE: &str = "case";

impl<'a> Runner<'a> {
    /// A runner with the limits that a stage has when its administrator says nothing, and a minute for each call.
    #[must_use]
    pub fn new(sandbox: &'a Sandbox, component: &'a Component) -> Self {
        Self { sandbox, component, limits: Limits::default(), time: Duration::from_secs(60) }
    }

    /// Configures the plugin and makes the case's calls. Needs a tokio runtime with time; blocks it while the plugin is
    /// compiled.
    pub async fn run(&self, case: &Case) -> Outcome {
        let (strayed, clock) = (Strayed::default(), Clock::at(case.now));
        let services = services::Scripted::new(case.services.clone(), &strayed);
        let dns = dns::Scripted::new(case.dns.clone(), &strayed);
        let store = store::Scripted::new(case.store.clone(), &clock);
        let shown = clock.clone();
        let outside = Outside {
            services: Arc::clone(&services) as _,
            dns: Arc::clone(&dns) as _,
            store: Arc::clone(&store) as _,
            clock: Arc::new(move || shown.system_time()),
        };
        let settings = StageSettings {
            stage: STAGE.into(),
            config: case.config.to_string(),
            grants: case.grants.clone(),
            limits: self.limits,
            isolation: Isolation::Message,
        };
        let plugin = match self.sandbox.prepare(self.component, settings, &outside) {
            Ok(plugin) => plugin,
            Err(PrepareError::Config(problems)) => return Outcome::Problems(problems),
            Err(error) => return Outcome::Unusable(error.to_string()),
        };
        let needs = plugin.needs();
        if let Some(missing) = case.calls.iter().find_map(|call| not_exported(&call.ask, needs)) {
            return Outcome::Unusable(format!("the case asks for {missing}, which the plugin does not export"));
        }

        let mut calls = Vec::new();
        for call in &case.calls {
            let mut times = Vec::new();
            for _ in 0..call.times {
                clock.pass(call.after);
                times.push(self.call(&plugin, call, case).await);
            }
            calls.push(times);
        }
        services.finish();
        dns.finish();
        Outcome::Said { calls, store: store.contents(), strayed: strayed.list() }
    }

    async fn call(&self, plugin: &Plugin, call: &Call, case: &Case) -> Said {
        let mut recipients = call.recipients.clone();
        let asked = match call.ask {
            Ask::Rcpt => recipients.pop(),
            _ => None,
        };
        let transaction = Transaction {
            id: case.name().into(),
            connected: Arc::new(call.client.clone()),
            envelope: Envelope { sender: call.sender.clone(), recipients, queue_id: call.queue_id.clone() },
            facts: call.facts.clone(),
        };
        let deadline = Deadline::after(self.time);
        let hook = match &call.ask {
            Ask::Message { headers, body } => {
                let received = ReceivedMessage { transaction, headers: headers.clone(), body: body.clone() };
                let message = Arc::new(ParsedMessage::new(received));
                return match decide(plugin, message, case, deadline).await {
                    Ok(said) => said,
                    Err(failure) => failed(failure),
                };
            }
            Ask::Connect => Hook::Connect,
            Ask::Helo => Hook::Helo,
            Ask::Mail => Hook::Mail,
            Ask::Rcpt => Hook::Rcpt(asked.unwrap_or_default()),
        };
        let so_far = Arc::new(ParsedMessage::without_content(transaction));
        match plugin.hook(hook, so_far, deadline).await.outcome {
            Ok(decision) => {
                let (verdict, reply) = match decision.verdict {
                    HookVerdict::Next => ("next", Reply::default()),
                    HookVerdict::Reject(reply) => ("reject", reply),
                    HookVerdict::Tempfail(reply) => ("tempfail", reply),
                };
                said(verdict, reply, Vec::new(), &decision.facts)
            }
            Err(failure) => failed(failure),
        }
    }
}

/// What the plugin says of a message, once its edits have been found good by applying them.
async fn decide(
    plugin: &Plugin,
    message: Arc<ParsedMessage>,
    case: &Case,
    deadline: Deadline,
) -> Result<Said, Failure> {
    let decision = plugin.decide(Arc::clone(&message), deadline).await.outcome?;
    apply::apply(&message, &decision.edits, case.grants.edits(), &InMemory).map_err(|error| match error {
        ApplyError::Refused { .. } => Failure::new(Cause::Refused, error.to_string()),
        ApplyError::Store(_) => Failure::new(Cause::Store, error.to_string()),
    })?;
    let verdict = decision.verdict.name();
    let reply = match decision.verdict {
        Verdict::Next | Verdict::Accept | Verdict::Discard => Reply::default(),
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => reply,
        Verdict::Quarantine { reason } => Reply::text(reason),
    };
    Ok(said(verdict, reply, decision.edits.iter().map(edit_line).collect(), &decision.facts))
}

fn said(verdict: &str, reply: Reply, edits: Vec<String>, facts: &[Fact]) -> Said {
    let facts: BTreeMap<_, _> = facts.iter().map(|fact| (fact.name.clone(), serde_json::json!(fact.value))).collect();
    Said { verdict: verdict.to_owned(), code: reply.code, reply: reply.text, failure: None, edits, facts }
}

fn failed(failure: Failure) -> Said {
    let cause = failure.cause.name().to_owned();
    Said { verdict: "failure".to_owned(), reply: failure.detail, failure: Some(cause), ..Said::default() }
}

fn not_exported(ask: &Ask, needs: Needs) -> Option<&'static str> {
    let (exported, name) = match ask {
        Ask::Message { .. } => (needs.message, "message-policy"),
        Ask::Connect => (needs.connect, "on-connect"),
        Ask::Helo => (needs.helo, "on-helo"),
        Ask::Mail => (needs.mail, "on-mail"),
        Ask::Rcpt => (needs.rcpt, "on-rcpt"),
    };
    (!exported).then_some(name)
}
