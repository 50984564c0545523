//! Finds viruses: asks clamd, or looks by itself with embedded signatures into MIME parts and archives.
//!
//! Read [`Virus::decide`](wasmilter_sdk::MessagePolicy::decide) first. `config` checks the configuration, `clamd` speaks to
//! clamd, `search` walks through parts and archives, `signatures` knows what is bad, `outcome` makes the decision.
//!
//! Invariant: nothing found, name or content, reaches the log; a message that could not be looked into as a whole is
//! never called clean without saying so.

mod clamd;
mod config;
mod outcome;
mod report;
mod search;
mod signatures;

pub use config::Config;

use config::Settings;
use signatures::Signatures;
use wasmilter_sdk::{Decision, Failure, Info, Message, MessagePolicy, Plugin, Problems};

/// The plugin, configured.
pub struct Virus {
    settings: Settings,
    signatures: Signatures,
}

impl Plugin for Virus {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("headers", "body", "service:*")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let signatures = Signatures::load(&config.hashes, config.signatures.files(), &mut problems);
        let settings = Settings::check(config, &mut problems);
        problems.or_else_ok(|| Self { settings, signatures })
    }
}

impl MessagePolicy for Virus {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let report = match &self.settings.service {
            Some(service) => clamd::scan(service, message, self.settings.replaces())?,
            None => search::scan(&self.signatures, &self.settings.limits, message),
        };
        Ok(outcome::decide(&self.settings, message, &report))
    }
}

wasmilter_sdk::plugin!(Virus: message);
