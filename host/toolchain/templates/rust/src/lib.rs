//! Rejects mail by phrases in its subject, and marks the rest.

use serde::Deserialize;
use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems, Reply};

/// The plugin, configured.
pub struct {{Name}} {
    phrases: Vec<String>,
}

/// `[stage.config]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    phrases: Vec<String>,
}

impl Policy for {{Name}} {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            summary: "Rejects mail by phrases in its subject, and marks the rest",
            licence: env!("CARGO_PKG_LICENSE"),
            home_page: env!("CARGO_PKG_HOMEPAGE"),
            grants: &["headers"],
            config_schema: r#"{"type":"object","additionalProperties":false,"required":["phrases"],
                "properties":{"phrases":{"type":"array","minItems":1,"items":{"type":"string"}}}}"#,
        }
    }

    /// Called once, when the plugin is loaded: what is computed here is there for every message.
    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if config.phrases.is_empty() {
            problems.add("/phrases", "must have at least one phrase");
        }
        for (at, phrase) in config.phrases.iter().enumerate() {
            if phrase.trim().is_empty() {
                problems.add(format!("/phrases/{at}"), "must not be empty");
            }
        }
        problems.or_else_ok(|| Self { phrases: config.phrases })
    }

    /// Called for every message, each time in a sandbox of its own.
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let subject = message.header_text("Subject").into_iter().next().unwrap_or_default().to_lowercase();
        Ok(match self.phrases.iter().find(|phrase| subject.contains(&phrase.to_lowercase())) {
            Some(phrase) => Decision::reject(Reply {
                code: 550,
                enhanced: "5.7.1".to_owned(),
                text: format!("subject not accepted: {phrase}"),
            })
            .with_fact("phrase", phrase.as_str()),
            None => Decision::next().add_header("X-Checked-By", env!("CARGO_PKG_NAME")),
        })
    }
}

wasmilter_sdk::plugin!({{Name}});
