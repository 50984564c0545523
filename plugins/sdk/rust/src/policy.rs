//! A plugin as its author writes it, and how it becomes what the host calls.

use crate::{Decision, Failure, Message, PluginInfo, Problem, Problems, configuration};
use serde::de::DeserializeOwned;
use std::sync::OnceLock;

/// A plugin that judges whole messages.
///
/// `configure` runs once, before the host takes its snapshot: everything costly (compiling patterns, parsing lists)
/// belongs there. `decide` then runs once for every message, each time from that snapshot.
pub trait Policy: Sized + Send + Sync + 'static {
    /// The stage's configuration (`[stage.config]`). Use `#[serde(deny_unknown_fields)]`, so that misspelled keys are
    /// found. What serde refuses is reported with its place; the rest is for `configure` to check.
    type Config: DeserializeOwned;

    /// Who the plugin is.
    fn info() -> Info;

    /// Checks the configuration and makes the plugin of it. Must not use a message or a service.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, all at once.
    fn configure(config: Self::Config) -> Result<Self, Problems>;

    /// Judges a message.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn decide(&self, message: &Message) -> Result<Decision, Failure>;
}

/// How a plugin presents itself.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Short name in lower case.
    pub name: &'static str,
    /// Semver; usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One sentence: what the plugin does.
    pub summary: &'static str,
    /// SPDX expression, such as `Apache-2.0`; usually `env!("CARGO_PKG_LICENSE")`.
    pub licence: &'static str,
    /// Where to read about the plugin; usually `env!("CARGO_PKG_HOMEPAGE")`.
    pub home_page: &'static str,
    /// Grants that it can make use of, such as `headers` or `service:*`.
    pub grants: &'static [&'static str],
    /// JSON Schema (draft 2020-12) of the configuration; `{}` allows anything.
    pub config_schema: &'static str,
}

/// The one configured plugin of an instance. Made by [`plugin!`](crate::plugin); authors do not need it.
pub struct Exported<P>(OnceLock<P>);

impl<P: Policy> Exported<P> {
    /// Not configured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// `lifecycle.describe`
    #[must_use]
    pub fn describe() -> PluginInfo {
        let info = P::info();
        PluginInfo {
            name: info.name.to_owned(),
            version: info.version.to_owned(),
            summary: info.summary.to_owned(),
            licence: info.licence.to_owned(),
            home_page: info.home_page.to_owned(),
            grants: info.grants.iter().map(|&grant| grant.to_owned()).collect(),
            config_schema: info.config_schema.to_owned(),
        }
    }

    /// `lifecycle.configure`
    ///
    /// # Errors
    /// What is wrong with the configuration, or that there is one already.
    pub fn configure(&self, config: &str) -> Result<(), Vec<Problem>> {
        let policy = configuration::configure::<P>(config).map_err(Problems::into_list)?;
        self.0.set(policy).map_err(|_| Problems::one("", "the plugin is configured already").into_list())
    }

    /// `message-policy.decide`
    ///
    /// # Errors
    /// The plugin's own, or that it was never configured.
    pub fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let policy = self.0.get().ok_or_else(|| Failure::internal("the plugin was not configured"))?;
        policy.decide(message)
    }
}

impl<P: Policy> Default for Exported<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type that implements [`Policy`] as the plugin. Does nothing in native builds, where tests use the type
/// itself.
#[macro_export]
macro_rules! plugin {
    ($policy:ty) => {
        #[cfg(target_family = "wasm")]
        mod exported {
            use super::*;

            static POLICY: $crate::Exported<$policy> = $crate::Exported::new();

            struct Plugin;

            impl $crate::Lifecycle for Plugin {
                fn describe() -> $crate::PluginInfo {
                    $crate::Exported::<$policy>::describe()
                }

                fn configure(config: String) -> Result<(), Vec<$crate::Problem>> {
                    POLICY.configure(&config)
                }
            }

            impl $crate::MessagePolicy for Plugin {
                fn decide() -> Result<$crate::Decision, $crate::Failure> {
                    POLICY.decide(&$crate::Message::at_hand())
                }
            }

            $crate::export_message_plugin!(Plugin);
        }
    };
}
