//! Never returns from a `bad` message. Configuration: `{"in": "decide"}` (default: computes for ever), `"host"` (calls the host
//! for ever) or `"configure"` (does not even start).

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    r#in: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { r#in: "decide".to_owned() }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "endless-loop",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Never returns",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        if config.r#in == "configure" {
            loop {
                std::hint::black_box(&config);
            }
        }
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if bad(message) {
            loop {
                if self.0.r#in == "host" {
                    std::hint::black_box(message.header_count("Subject"));
                }
                std::hint::black_box(self);
            }
        }
        Ok(Decision::next())
    }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
