//! Configures as told. Configuration: `{"problems": 0, "trap": false, "call": false}`: reports so many problems, traps, or calls the host,
//! which it must not and which makes a snapshot impossible. Publishes the fact `configured`: how many times `configure` ran in
//! the instance at hand.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    problems: u32,
    trap: bool,
    call: bool,
}

pub struct Guest;

static CONFIGURED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "failing-configure",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Rejects its configuration",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        CONFIGURED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(!config.trap, "the guest was told to panic");
        if config.call {
            wasmilter_sdk::log::info("configuring");
        }
        let mut problems = Problems::new();
        for number in 1..=config.problems {
            problems.add(format!("/problem/{number}"), format!("must not be {number}"));
        }
        problems.or_else_ok(|| Self)
    }

    fn decide(&self, _message: &Message) -> Result<Decision, Failure> {
        Ok(Decision::next().with_fact("configured", f64::from(CONFIGURED.load(std::sync::atomic::Ordering::Relaxed))))
    }
}

wasmilter_sdk::plugin!(Guest);
