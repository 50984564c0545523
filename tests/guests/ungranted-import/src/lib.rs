//! Imports what needs a grant: `body`, `clock`, `random`. Publishes what it got. Configuration: none.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct Guest;

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "ungranted-import",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Reaches for everything",
            grants: &["body", "clock", "random"],
            config_schema: "{}",
        }
    }

    fn configure(_config: Config) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        Ok(Decision::next()
            .with_fact("size", f64::from(message.raw_size()))
            .with_fact("parts", f64::from(u32::try_from(message.parts().len()).unwrap_or(u32::MAX)))
            .with_fact("now", message.now())
            .with_fact("random", format!("{:?}", message.random(16))))
    }
}

wasmilter_sdk::plugin!(Guest);
