//! A plugin as its author writes it, and how it becomes what the host calls.

use crate::{
    Decision, Failure, HookDecision, Mailbox, Message, PluginInfo, Problem, Problems, Session, Transaction,
    configuration, schema,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::sync::OnceLock;

/// A plugin: who it is, and how it is made of its configuration. What it judges is said by the other traits:
/// [`MessagePolicy`], [`OnConnect`], [`OnHelo`], [`OnMail`], [`OnRcpt`]; [`plugin!`](crate::plugin) names which of them the host sees.
///
/// `configure` runs once, before the host takes its snapshot: everything costly (compiling patterns, parsing lists)
/// belongs there. Every call then starts from that snapshot.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The stage's configuration (`[stage.config]`). Its JSON Schema is derived; write doc comments for administrators, and
    /// `#[serde(deny_unknown_fields)]`, so that misspelled keys are found. What serde refuses is reported with its place; the
    /// rest is for `configure` to check.
    type Config: DeserializeOwned + JsonSchema;

    /// Who the plugin is; see [`info!`](crate::info).
    fn info() -> Info;

    /// Checks the configuration and makes the plugin of it. There is no message and no service here.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, all at once.
    fn configure(config: Self::Config) -> Result<Self, Problems>;
}

/// Judges whole messages.
pub trait MessagePolicy: Plugin {
    /// Judges a message. Called once for every message, after its last byte.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn decide(&self, message: &Message) -> Result<Decision, Failure>;
}

/// Judges clients when they connect.
pub trait OnConnect: Plugin {
    /// Asked when a client connects; nothing but the client is known.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn connect(&self, session: &Session) -> Result<HookDecision, Failure>;
}

/// Judges HELO and EHLO.
pub trait OnHelo: Plugin {
    /// Asked at every HELO or EHLO; a session may have several.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn helo(&self, session: &Session) -> Result<HookDecision, Failure>;
}

/// Judges senders.
pub trait OnMail: Plugin {
    /// Asked at MAIL FROM; the sender is known.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn mail(&self, transaction: &Transaction) -> Result<HookDecision, Failure>;
}

/// Judges recipients.
pub trait OnRcpt: Plugin {
    /// Asked at every RCPT TO, about that recipient; the transaction has the ones accepted before it.
    ///
    /// # Errors
    /// When the plugin could not decide; the stage's `on_failure` then does.
    fn rcpt(&self, transaction: &Transaction, recipient: &Mailbox) -> Result<HookDecision, Failure>;
}

/// How a plugin presents itself.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Short name in lower case.
    pub name: &'static str,
    /// Semver.
    pub version: &'static str,
    /// One sentence: what the plugin does.
    pub summary: &'static str,
    /// SPDX expression, such as `Apache-2.0`; may be empty.
    pub licence: &'static str,
    /// Where to read about the plugin, a URL; may be empty.
    pub home_page: &'static str,
    /// Grants that it can make use of, such as `headers`, `text` or `service:*`.
    pub grants: &'static [&'static str],
}

/// An [`Info`] with the name, version, description, licence and home page of the package in whose `Cargo.toml` they stand, and the
/// given grants: `wasmilter_sdk::info!("headers", "service:*")`.
#[macro_export]
macro_rules! info {
    ($($grant:literal),* $(,)?) => {
        $crate::Info {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            summary: env!("CARGO_PKG_DESCRIPTION"),
            licence: env!("CARGO_PKG_LICENSE"),
            home_page: env!("CARGO_PKG_HOMEPAGE"),
            grants: &[$($grant),*],
        }
    };
}

/// The one configured plugin of an instance. Made by [`plugin!`](crate::plugin); authors do not need it.
#[doc(hidden)]
pub struct Exported<P>(OnceLock<P>);

#[doc(hidden)]
impl<P: Plugin> Default for Exported<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[doc(hidden)]
#[allow(missing_docs, reason = "authors do not call it")]
impl<P: Plugin> Exported<P> {
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

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
            config_schema: schema::of::<P::Config>(),
        }
    }

    /// # Errors
    /// What is wrong with the configuration, or that there is one already.
    pub fn configure(&self, config: &str) -> Result<(), Vec<Problem>> {
        let policy = configuration::configure::<P>(config).map_err(Problems::into_list)?;
        self.0.set(policy).map_err(|_| Problems::one("", "the plugin is configured already").into_list())
    }
}

#[doc(hidden)]
#[cfg(target_family = "wasm")]
mod calls {
    use super::*;
    use crate::bindings::{
        message::exports::wasmilter::policy::message_policy as contract,
        wasmilter::policy::hook_types::HookDecision as Answer,
    };

    #[allow(missing_docs, clippy::missing_errors_doc, reason = "authors do not call it")]
    impl<P: Plugin> Exported<P> {
        fn configured(&self) -> Result<&P, Failure> {
            self.0.get().ok_or_else(|| Failure::internal("the plugin was not configured"))
        }

        pub fn decide(&self) -> Result<contract::Decision, Failure>
        where
            P: MessagePolicy,
        {
            self.configured()?.decide(&Message::at_hand())?.into_contract()
        }

        pub fn connect(&self) -> Result<Answer, Failure>
        where
            P: OnConnect,
        {
            self.configured()?.connect(&Message::at_hand()).map(HookDecision::into_contract)
        }

        pub fn helo(&self) -> Result<Answer, Failure>
        where
            P: OnHelo,
        {
            self.configured()?.helo(&Message::at_hand()).map(HookDecision::into_contract)
        }

        pub fn mail(&self) -> Result<Answer, Failure>
        where
            P: OnMail,
        {
            self.configured()?.mail(&Message::at_hand()).map(HookDecision::into_contract)
        }

        pub fn rcpt(&self, recipient: &Mailbox) -> Result<Answer, Failure>
        where
            P: OnRcpt,
        {
            self.configured()?.rcpt(&Message::at_hand(), recipient).map(HookDecision::into_contract)
        }
    }
}

/// Exports a type as the plugin, with what it judges: `plugin!(MyPlugin: message)`, `plugin!(MyPlugin: connect, rcpt, message)`. Each
/// word stands for a trait: `message` for [`MessagePolicy`], `connect`, `helo`, `mail` and `rcpt` for [`OnConnect`], [`OnHelo`],
/// [`OnMail`] and [`OnRcpt`]. What is not named is not exported, and the host does not ask for it.
///
/// In native builds it makes the type known to [`testing::cases`](crate::testing::cases).
#[macro_export]
macro_rules! plugin {
    ($plugin:ty : $($export:ident),+ $(,)?) => {
        #[cfg(not(target_family = "wasm"))]
        impl $crate::testing::Exports for $plugin {
            fn ask(
                plugin: &Self,
                ask: &$crate::testing::Ask,
                message: &$crate::Message,
            ) -> Option<Result<$crate::testing::Answer, $crate::Failure>> {
                $($crate::answer!($export plugin ask message);)+
                None
            }
        }

        #[cfg(target_family = "wasm")]
        mod exported {
            use super::*;

            static PLUGIN: $crate::Exported<$plugin> = $crate::Exported::new();

            struct Exports;

            impl $crate::bindings::lifecycle::exports::wasmilter::policy::lifecycle::Guest for Exports {
                fn describe() -> $crate::PluginInfo {
                    $crate::Exported::<$plugin>::describe()
                }

                fn configure(config: String) -> Result<(), Vec<$crate::Problem>> {
                    PLUGIN.configure(&config)
                }
            }

            $crate::bindings::lifecycle::export_lifecycle!(Exports with_types_in $crate::bindings::lifecycle);
            $($crate::export!($export Exports PLUGIN);)+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! answer {
    (message $plugin:ident $ask:ident $message:ident) => { $crate::answer!(@ Message message $plugin $ask $message) };
    (connect $plugin:ident $ask:ident $message:ident) => { $crate::answer!(@ Connect connect $plugin $ask $message) };
    (helo $plugin:ident $ask:ident $message:ident) => { $crate::answer!(@ Helo helo $plugin $ask $message) };
    (mail $plugin:ident $ask:ident $message:ident) => { $crate::answer!(@ Mail mail $plugin $ask $message) };
    (rcpt $plugin:ident $ask:ident $message:ident) => {
        if let $crate::testing::Ask::Rcpt(recipient) = $ask {
            return Some($crate::testing::Answer::rcpt($plugin, $message, recipient));
        }
    };
    (@ $variant:ident $call:ident $plugin:ident $ask:ident $message:ident) => {
        if matches!($ask, $crate::testing::Ask::$variant) {
            return Some($crate::testing::Answer::$call($plugin, $message));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export {
    (message $exports:ident $plugin:ident) => {
        impl $crate::bindings::message::exports::wasmilter::policy::message_policy::Guest for $exports {
            fn decide() -> Result<
                $crate::bindings::message::exports::wasmilter::policy::message_policy::Decision,
                $crate::Failure,
            > {
                $plugin.decide()
            }
        }
        $crate::bindings::message::export_message!($exports with_types_in $crate::bindings::message);
    };
    (connect $exports:ident $plugin:ident) => {
        impl $crate::bindings::connect::exports::wasmilter::policy::on_connect::Guest for $exports {
            fn connect() -> Result<$crate::bindings::wasmilter::policy::hook_types::HookDecision, $crate::Failure> {
                $plugin.connect()
            }
        }
        $crate::bindings::connect::export_connect!($exports with_types_in $crate::bindings::connect);
    };
    (helo $exports:ident $plugin:ident) => {
        impl $crate::bindings::helo::exports::wasmilter::policy::on_helo::Guest for $exports {
            fn helo() -> Result<$crate::bindings::wasmilter::policy::hook_types::HookDecision, $crate::Failure> {
                $plugin.helo()
            }
        }
        $crate::bindings::helo::export_helo!($exports with_types_in $crate::bindings::helo);
    };
    (mail $exports:ident $plugin:ident) => {
        impl $crate::bindings::mail::exports::wasmilter::policy::on_mail::Guest for $exports {
            fn mail() -> Result<$crate::bindings::wasmilter::policy::hook_types::HookDecision, $crate::Failure> {
                $plugin.mail()
            }
        }
        $crate::bindings::mail::export_mail!($exports with_types_in $crate::bindings::mail);
    };
    (rcpt $exports:ident $plugin:ident) => {
        impl $crate::bindings::rcpt::exports::wasmilter::policy::on_rcpt::Guest for $exports {
            fn rcpt(
                recipient: $crate::Mailbox,
            ) -> Result<$crate::bindings::wasmilter::policy::hook_types::HookDecision, $crate::Failure> {
                $plugin.rcpt(&recipient)
            }
        }
        $crate::bindings::rcpt::export_rcpt!($exports with_types_in $crate::bindings::rcpt);
    };
}
