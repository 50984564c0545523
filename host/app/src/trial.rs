//! One message through the pipeline without any mail server: what `wasmilter try` does.
//!
//! The judge is asked exactly as the milter door asks it: connect, HELO, MAIL, every RCPT, then the whole message.

use bytes::Bytes;
use std::sync::Arc;
use wasmilter_message::{
    body::BodyStore,
    client::Client,
    decision::HookVerdict,
    envelope::{Envelope, Mailbox},
    facts::Facts,
    headers::Field,
    judge::{Hook, Judge},
    message::{JudgedMessage, Transaction},
};
use wasmilter_milter::{Modification, Settings, modifications_for, receive, smtp_reply, smtp_reply::hook_reply};

/// A message and the SMTP transaction that it pretends to come in.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The client.
    pub client: Client,
    /// MAIL FROM.
    pub sender: Mailbox,
    /// RCPT TO, in order.
    pub recipients: Vec<Mailbox>,
    /// Header fields.
    pub headers: Vec<Field>,
    /// Body, lines ended by CRLF.
    pub body: Bytes,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Envelope hooks that some stage wanted to be asked at, in order.
    pub hooks: Vec<HookOutcome>,
    /// The judged message; None when a hook refused the transaction before there was one, or it was larger than allowed.
    pub judged: Option<JudgedMessage>,
    /// Name of the verdict.
    pub verdict: &'static str,
    /// What the mail server would tell the client at the end.
    pub reply: String,
    /// What the mail server would be asked to change.
    pub modifications: Vec<Modification>,
}

/// What the stages said at a hook.
#[derive(Debug, Clone)]
pub struct HookOutcome {
    /// The hook.
    pub hook: Hook,
    /// Their verdict.
    pub verdict: HookVerdict,
    /// What the client would be told; None: the mail server's own answer.
    pub reply: Option<String>,
}

/// Runs a trial. Bounded by the judge's own deadlines. What is larger than the door's `settings` allow is refused as the
/// door does it.
pub async fn run(judge: &dyn Judge, store: &dyn BodyStore, settings: &Settings, trial: Trial) -> Outcome {
    let mut session = Session::begin(judge, &trial);
    let wants = judge.needs();
    let session_hooks = [(wants.connect, Hook::Connect), (wants.helo, Hook::Helo), (wants.mail, Hook::Mail)];
    for (wanted, hook) in session_hooks {
        if let Some(refused) = session.ask(wanted, hook, &trial).await {
            return session.refused(refused);
        }
    }
    let mut refusal = None;
    for recipient in &trial.recipients {
        // One refused recipient does not stop the message: the others get it.
        match session.ask(wants.rcpt, Hook::Rcpt(recipient.clone()), &trial).await {
            Some(refused) => refusal = Some(refused),
            None => session.recipients.push(recipient.clone()),
        }
    }
    match refusal {
        Some(refused) if session.recipients.is_empty() => session.refused(refused),
        _ => session.judge(store, settings, trial).await,
    }
}

struct Session<'a> {
    judge: &'a dyn Judge,
    connected: Arc<Client>,
    facts: Facts,
    recipients: Vec<Mailbox>,
    hooks: Vec<HookOutcome>,
}

impl<'a> Session<'a> {
    fn begin(judge: &'a dyn Judge, trial: &Trial) -> Self {
        let connected = Arc::new(trial.client.clone());
        Self { judge, connected, facts: Facts::default(), recipients: Vec::new(), hooks: Vec::new() }
    }

    /// Asks at a hook; gives the outcome when it is a refusal.
    async fn ask(&mut self, wanted: bool, hook: Hook, trial: &Trial) -> Option<HookOutcome> {
        if !wanted {
            return None;
        }
        let so_far = self.transaction(&hook, trial);
        let judged = self.judge.hook(hook.clone(), so_far).await;
        self.facts = judged.facts;
        let outcome = HookOutcome { hook, reply: hook_reply(&judged.verdict), verdict: judged.verdict };
        self.hooks.push(outcome.clone());
        (outcome.verdict != HookVerdict::Next).then_some(outcome)
    }

    /// What is known at `hook`: before HELO no name, before MAIL no sender.
    fn transaction(&self, hook: &Hook, trial: &Trial) -> Transaction {
        let mut connected = Arc::clone(&self.connected);
        if matches!(hook, Hook::Connect) {
            connected = Arc::new(Client { helo: None, auth: None, tls: None, ..trial.client.clone() });
        }
        let sender = match hook {
            Hook::Connect | Hook::Helo => Mailbox::default(),
            Hook::Mail | Hook::Rcpt(_) => trial.sender.clone(),
        };
        let envelope = Envelope { sender, recipients: self.recipients.clone(), queue_id: None };
        Transaction { id: ID.into(), connected, envelope, facts: self.facts.clone() }
    }

    async fn judge(self, store: &dyn BodyStore, settings: &Settings, trial: Trial) -> Outcome {
        let envelope =
            Envelope { sender: trial.sender, recipients: self.recipients, queue_id: Some(QUEUE_ID.to_owned()) };
        let transaction = Transaction { id: ID.into(), connected: self.connected, envelope, facts: self.facts };
        let received = match receive(transaction, trial.headers, &trial.body, store, settings) {
            Ok(received) => received,
            Err(verdict) => {
                let (name, reply) = (verdict.name(), smtp_reply(&verdict));
                return Outcome { hooks: self.hooks, judged: None, verdict: name, reply, modifications: Vec::new() };
            }
        };
        drop(trial.body);
        let judged = self.judge.judge(received).await;
        Outcome {
            hooks: self.hooks,
            verdict: judged.verdict.name(),
            reply: smtp_reply(&judged.verdict),
            modifications: modifications_for(&judged),
            judged: Some(judged),
        }
    }

    fn refused(self, refused: HookOutcome) -> Outcome {
        let verdict = match refused.verdict {
            HookVerdict::Next => "next",
            HookVerdict::Reject(_) => "reject",
            HookVerdict::Tempfail(_) => "tempfail",
        };
        let reply = refused.reply.unwrap_or_default();
        Outcome { hooks: self.hooks, judged: None, verdict, reply, modifications: Vec::new() }
    }
}

/// The message's id in logs.
const ID: &str = "try";
/// No mail server gave one; conditions and plugins see that it was a trial.
const QUEUE_ID: &str = "TRY";
