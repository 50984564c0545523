//! Rejects mail by phrases in its subject, and marks the rest.

use schemars::JsonSchema;
use serde::Deserialize;
use wasmilter_sdk::{Decision, Failure, HeaderName, Info, Message, MessagePolicy, Plugin, Problems, Rejection};

const CHECKED_BY: HeaderName = HeaderName::from_static("X-Checked-By");

/// The plugin, configured.
pub struct {{Name}} {
    phrases: Vec<String>,
}

/// `[stage.config]`; the JSON Schema is made of it, comments included.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Subjects with one of these are refused.
    #[schemars(length(min = 1))]
    phrases: Vec<String>,
}

impl Plugin for {{Name}} {
    type Config = Config;

    fn info() -> Info {
        // Name, version, licence and so on are those of Cargo.toml; these are the grants.
        wasmilter_sdk::info!("headers")
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
}

impl MessagePolicy for {{Name}} {
    /// Called for every message, each time in a sandbox of its own.
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let subject = message.subject().to_lowercase();
        Ok(match self.phrases.iter().find(|phrase| subject.contains(&phrase.to_lowercase())) {
            Some(phrase) => {
                let answer = Rejection::new(&format!("subject not accepted: {phrase}")).with_enhanced(7, 1);
                Decision::reject(answer.with_code(550)?).with_fact("phrase", phrase.as_str())
            }
            None => Decision::next().add_header(CHECKED_BY, env!("CARGO_PKG_NAME")),
        })
    }
}

wasmilter_sdk::plugin!({{Name}}: message);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        wasmilter_sdk::testing::cases::<{{Name}}>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}
