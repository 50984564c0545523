//! Scores spam: asks rspamd or spamd, or applies rules of its own, and acts by thresholds.
//!
//! Read [`Spam::decide`](wasmilter_sdk::MessagePolicy::decide) first. `config` checks the configuration, `rspamd` (over `http`)
//! and `spamd` speak to their servers, `rules` is the embedded engine with its table of rules, `outcome` makes the
//! decision.
//!
//! Invariant: no rule and no server decides by itself; a score and thresholds do.

mod config;
mod http;
mod outcome;
mod report;
mod rspamd;
mod rules;
mod spamd;

pub use config::Config;

use config::{Protocol, Settings};
use rules::Rules;
use wasmilter_sdk::{Decision, Failure, Info, Message, MessagePolicy, Plugin, Problems};

/// The plugin, configured.
pub struct Spam {
    settings: Settings,
    rules: Rules,
}

impl Plugin for Spam {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("envelope", "headers", "body", "service:*")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let rules = problems.take("", Rules::new(&config.scores)).unwrap_or_default();
        let settings = Settings::check(config, &mut problems);
        problems.or_else_ok(|| Self { settings, rules })
    }
}

impl MessagePolicy for Spam {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let headers = message.headers();
        let report = match &self.settings.service {
            Some((service, Protocol::Rspamd)) => rspamd::score(service, message)?,
            Some((service, Protocol::Spamd)) => spamd::score(service, message)?,
            None => self.rules.score(message, &headers),
        };
        Ok(outcome::decide(&self.settings, message, &headers, &report))
    }
}

wasmilter_sdk::plugin!(Spam: message);
