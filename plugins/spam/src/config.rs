//! The configuration. Documented for administrators in `README.md` and in the schema, which is made of this.

use crate::rules;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::collections::BTreeMap;
use wasmilter_sdk::{HeaderName, Problems};

/// `[stage.config]` as written.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Service to ask; without it the embedded rules score.
    #[schemars(length(min = 1))]
    pub service: Option<String>,
    /// What the service speaks.
    #[schemars(extend("default" = "rspamd"))]
    pub protocol: Option<Protocol>,
    /// From this score on, mail is marked in header fields as spam.
    #[schemars(extend("default" = 5))]
    pub tag: Option<f64>,
    /// From this score on, the subject gets a prefix.
    pub subject: Option<f64>,
    /// From this score on, mail is held back.
    pub quarantine: Option<f64>,
    /// From this score on, mail is refused; `false` for never.
    #[schemars(schema_with = "score_or_false")]
    pub reject: Option<Threshold>,
    /// What is put before the subject.
    #[schemars(length(min = 1, max = 100), extend("default" = "[SPAM] "))]
    pub subject_prefix: Option<String>,
    /// First part of the names of the header fields.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]{2,49}[A-Za-z0-9]$"), extend("default" = "X-Spam"))]
    pub headers: Option<String>,
    /// SMTP reply of a rejection.
    #[schemars(length(min = 1, max = 400), extend("default" = "message looks like spam"))]
    pub reply: Option<String>,
    /// Whether the action that rspamd proposes is taken in place of the thresholds.
    pub follow_action: bool,
    /// Scores of embedded rules by name, in place of those they have; 0 switches a rule off.
    pub scores: BTreeMap<String, f64>,
}

/// What a service speaks.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// rspamd's HTTP protocol, on the port of its normal worker.
    #[default]
    Rspamd,
    /// SpamAssassin's spamd.
    Spamd,
}

/// A score, or `false` for never.
#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(untagged)]
pub enum Threshold {
    /// From this score on.
    At(f64),
    /// `false`.
    Never(bool),
}

fn score_or_false(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "number" }, { "const": false }], "default": 15 })
}

/// Names of the header fields.
pub(crate) struct Headers {
    /// Without the final dash.
    pub(crate) prefix: String,
    pub(crate) score: HeaderName,
    pub(crate) status: HeaderName,
    pub(crate) flag: HeaderName,
}

/// The configuration, checked, defaults filled in.
pub(crate) struct Settings {
    pub(crate) service: Option<(String, Protocol)>,
    pub(crate) tag: f64,
    pub(crate) subject: Option<f64>,
    pub(crate) quarantine: Option<f64>,
    pub(crate) reject: Option<f64>,
    pub(crate) subject_prefix: String,
    pub(crate) headers: Headers,
    pub(crate) reply: String,
    pub(crate) follow_action: bool,
}

impl Settings {
    pub(crate) fn check(config: Config, problems: &mut Problems) -> Self {
        if config.service.as_deref() == Some("") {
            problems.add("/service", "must name a service of [services], is empty");
        }
        if config.protocol.is_some() && config.service.is_none() {
            problems.add("/protocol", "says nothing without a service");
        }
        let rspamd = config.service.is_some() && config.protocol.unwrap_or_default() == Protocol::Rspamd;
        if config.follow_action && !rspamd {
            problems.add("/follow_action", "needs a service that speaks rspamd: nothing else proposes actions");
        }
        if config.service.is_some() && !config.scores.is_empty() {
            problems.add("/scores", "goes without a service only: servers have scores of their own");
        }
        for (name, score) in &config.scores {
            let path = format!("/scores/{}", name.replace('~', "~0").replace('/', "~1"));
            if !rules::is_known(name) {
                problems.add(&path, "there is no such rule");
            }
            if !(-1000.0..=1000.0).contains(score) {
                problems.add(&path, format!("must be from -1000 to 1000, is {score}"));
            }
        }
        let tag = config.tag.unwrap_or(5.0);
        let reject = match config.reject {
            None => Some(15.0_f64.max(tag)),
            Some(Threshold::At(score)) => Some(score),
            Some(Threshold::Never(never)) => {
                if never {
                    problems.add("/reject", "must be a score or false, is true");
                }
                None
            }
        };
        let later = [("/subject", config.subject), ("/quarantine", config.quarantine), ("/reject", reject)];
        for (path, score) in later {
            if let Some(score) = score.filter(|score| *score < tag) {
                problems.add(path, format!("must be at least tag, which is {tag}, is {score}"));
            }
        }
        if let (Some(quarantine), Some(reject)) = (config.quarantine, reject)
            && quarantine > reject
        {
            problems.add("/quarantine", format!("must be at most reject, which is {reject}, is {quarantine}"));
        }
        let subject_prefix = config.subject_prefix.unwrap_or_else(|| "[SPAM] ".to_owned());
        if subject_prefix.is_empty() || subject_prefix.len() > 100 || subject_prefix.chars().any(char::is_control) {
            problems.add("/subject_prefix", format!("must be 1 to 100 characters on a line, is {subject_prefix:?}"));
        }
        let headers = config.headers.unwrap_or_else(|| "X-Spam".to_owned());
        // At least `X-` and something: fields of that prefix are removed, and it must not be everybody's.
        let valid = (3..=50).contains(&headers.len())
            && headers.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !headers.ends_with('-');
        if !valid {
            problems
                .add("/headers", format!("must be the beginning of header names such as \"X-Spam\", is {headers:?}"));
        }
        let mut name = |what: &str| {
            let usual = HeaderName::from_static("X-Spam");
            if !valid {
                return usual;
            }
            problems.take("/headers", HeaderName::new(format!("{headers}-{what}"))).unwrap_or(usual)
        };
        let (score, status, flag) = (name("Score"), name("Status"), name("Flag"));
        let reply = config.reply.unwrap_or_else(|| "message looks like spam".to_owned());
        if reply.is_empty() || reply.len() > 400 || !reply.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            problems.add("/reply", format!("must be printable US-ASCII of at most 400 characters, is {reply:?}"));
        }
        Self {
            service: config.service.map(|service| (service, config.protocol.unwrap_or_default())),
            tag,
            subject: config.subject,
            quarantine: config.quarantine,
            reject,
            subject_prefix,
            headers: Headers { prefix: headers, score, status, flag },
            reply,
            follow_action: config.follow_action,
        }
    }
}
