//! Recurses so deep on a `bad` message, with 1 kB of stack in every call. Configuration: `{"depth": 1000000}`.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    depth: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { depth: 1_000_000 }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "deep-recursion",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Recurses",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if bad(message) {
            std::hint::black_box(descend(self.0.depth));
        }
        Ok(Decision::next())
    }
}

#[inline(never)]
fn descend(depth: u32) -> u32 {
    // Locals of WebAssembly live on the host's stack, an array whose address is taken on the guest's own: this uses both.
    let frame = std::hint::black_box([depth; 4]);
    if depth == 0 { frame[0] } else { descend(depth - 1).wrapping_add(frame[3]) }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
