//! Logs on a `bad` message. Configuration: `{"lines": 1000, "length": 100}`; lines of so many characters, with a line end in the
//! middle.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    lines: u32,
    length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { lines: 1000, length: 100 }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info { name: "chatty", version: env!("CARGO_PKG_VERSION"), summary: "Logs", grants: &[], config_schema: "{}" }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if bad(message) {
            let half = "x".repeat(self.0.length / 2);
            for _ in 0..self.0.lines {
                wasmilter_sdk::log::info(format!("{half}\n{half}"));
            }
        }
        Ok(Decision::next())
    }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
