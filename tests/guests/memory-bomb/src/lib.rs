//! Takes so many bytes of memory, and writes to them, on a `bad` message. Configuration: `{"bytes": 1000000000}`.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes: 1_000_000_000 }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "memory-bomb",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Wants memory",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if bad(message) {
            let bomb = vec![1_u8; self.0.bytes];
            std::hint::black_box(&bomb);
        }
        Ok(Decision::next())
    }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
