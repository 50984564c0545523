//! Remembers what it must not: the fact `count` is how many messages the instance has judged, `sum` what `configure` computed.
//! Configuration: `{"numbers": [1, 2, 3], "call": false, "spin": 0}`; with `call` it calls the host while it is configured, which it must not and
//! which makes a snapshot impossible; `spin` makes that take so many turns of a loop.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    numbers: Vec<u32>,
    call: bool,
    spin: u32,
}

pub struct Guest {
    sum: u32,
}

static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "leaky",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Remembers",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        if config.call {
            wasmilter_sdk::log::debug("configuring");
        }
        for turn in 0..config.spin {
            std::hint::black_box(turn);
        }
        Ok(Self { sum: config.numbers.iter().sum() })
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        assert!(!bad(message), "the guest was told to panic");
        Ok(Decision::next().with_fact("count", f64::from(count)).with_fact("sum", f64::from(self.sum)))
    }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
