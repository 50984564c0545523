//! Exports every envelope hook and the judgement of messages. Configuration: what to answer at each hook, all optional:
//! `{"connect": {"when": "192.0.2.", "verdict": "reject", "code": 554, "enhanced": "5.7.1", "text": "go away"}, "helo": {…}, "mail": {…},
//! "rcpt": {…}}`. `verdict` is `next`, `reject`, `tempfail`, `fail` or `loop`; it holds when what the hook is about (client address, HELO name, sender,
//! recipient) contains `when`; empty: always. Every hook publishes what it was about as a fact of its own name; the
//! message is always let through, with the fact `recipients`.

#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "full-plugin", generate_all });
}

use bindings::{
    exports::wasmilter::policy::{
        lifecycle::{self, PluginInfo, Problem},
        message_policy::{self, Decision},
        on_connect, on_helo, on_mail, on_rcpt,
    },
    wasmilter::policy::{
        client, envelope,
        hook_types::{HookDecision, HookVerdict},
        types::{Fact, FactValue, Failure, FailureKind, Mailbox, Reply, Verdict},
    },
};
use std::sync::OnceLock;

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    connect: Rule,
    helo: Rule,
    mail: Rule,
    rcpt: Rule,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    when: String,
    verdict: String,
    code: u32,
    enhanced: String,
    text: String,
}

static CONFIG: OnceLock<Config> = OnceLock::new();

struct Guest;

impl lifecycle::Guest for Guest {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "hooks".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Judges at every hook".to_owned(),
            licence: "GPL-3.0-or-later".to_owned(),
            home_page: String::new(),
            grants: Vec::new(),
            config_schema: "{}".to_owned(),
        }
    }

    fn configure(config: String) -> Result<(), Vec<Problem>> {
        let problem = |message: String| vec![Problem { path: String::new(), message }];
        let config = serde_json::from_str(&config).map_err(|error| problem(error.to_string()))?;
        CONFIG.set(config).map_err(|_| problem("configured already".to_owned()))
    }
}

impl on_connect::Guest for Guest {
    fn connect() -> Result<HookDecision, Failure> {
        judge("connect", |config| &config.connect, client::get().address)
    }
}

impl on_helo::Guest for Guest {
    fn helo() -> Result<HookDecision, Failure> {
        judge("helo", |config| &config.helo, client::get().helo)
    }
}

impl on_mail::Guest for Guest {
    fn mail() -> Result<HookDecision, Failure> {
        judge("mail", |config| &config.mail, envelope::sender().address)
    }
}

impl on_rcpt::Guest for Guest {
    fn rcpt(recipient: Mailbox) -> Result<HookDecision, Failure> {
        judge("rcpt", |config| &config.rcpt, recipient.address)
    }
}

impl message_policy::Guest for Guest {
    fn decide() -> Result<Decision, Failure> {
        let recipients = envelope::recipients().into_iter().map(|recipient| recipient.address).collect();
        let fact = Fact { name: "recipients".to_owned(), value: FactValue::Texts(recipients) };
        Ok(Decision { verdict: Verdict::Next, edits: Vec::new(), facts: vec![fact] })
    }
}

fn judge(hook: &str, rule: impl Fn(&Config) -> &Rule, about: String) -> Result<HookDecision, Failure> {
    let fail = |detail: &str| Failure { kind: FailureKind::Internal, detail: detail.to_owned() };
    let rule = rule(CONFIG.get().ok_or_else(|| fail("not configured"))?);
    let reply = || Reply { code: rule.code, enhanced: rule.enhanced.clone(), text: rule.text.clone() };
    let verdict = match rule.verdict.as_str() {
        _ if !about.contains(&rule.when) => HookVerdict::Next,
        "" | "next" => HookVerdict::Next,
        "reject" => HookVerdict::Reject(reply()),
        "tempfail" => HookVerdict::Tempfail(reply()),
        "loop" => loop {
            std::hint::black_box(&about);
        },
        _ => return Err(fail("the guest was told to fail")),
    };
    Ok(HookDecision { verdict, facts: vec![Fact { name: hook.to_owned(), value: FactValue::Text(about) }] })
}

bindings::export!(Guest with_types_in bindings);
