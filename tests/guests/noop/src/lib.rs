//! Lets every message through untouched. Configuration: none.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct Guest;

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "noop",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Does nothing",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(_config: Config) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn decide(&self, _message: &Message) -> Result<Decision, Failure> {
        Ok(Decision::next())
    }
}

wasmilter_sdk::plugin!(Guest);
