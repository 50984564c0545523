//! Takes so long for every message: computes and looks at the clock. Needs the grant `clock`. Configuration:
//! `{"milliseconds": 1000, "subject": ""}`; with a `subject` only for messages whose subject contains it.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    milliseconds: u32,
    subject: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { milliseconds: 1000, subject: String::new() }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "slow",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Takes its time",
            grants: &["clock"],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if self.0.subject.is_empty() || message.header_text("Subject").iter().any(|s| s.contains(&self.0.subject)) {
            let end = message.now() + f64::from(self.0.milliseconds) / 1000.0;
            while message.now() < end {
                // Not a call of the host in every turn: their number is limited.
                for turn in 0..100_000 {
                    std::hint::black_box(turn);
                }
            }
        }
        Ok(Decision::next())
    }
}

wasmilter_sdk::plugin!(Guest);
