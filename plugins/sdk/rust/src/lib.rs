//! Write Wasmilter plugins in Rust.
//!
//! A plugin is a type that implements [`Policy`], and one line that exports it:
//!
//! ```
//! use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};
//!
//! /// Marks mail from strangers.
//! pub struct Marker {
//!     field: String,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     field: String,
//! }
//!
//! impl Policy for Marker {
//!     type Config = Config;
//!
//!     fn info() -> Info {
//!         Info {
//!             name: "marker",
//!             version: env!("CARGO_PKG_VERSION"),
//!             summary: "Marks mail from strangers",
//!             licence: "Apache-2.0",
//!             home_page: "",
//!             grants: &[],
//!             config_schema: r#"{"type":"object","properties":{"field":{"type":"string"}},"required":["field"]}"#,
//!         }
//!     }
//!
//!     fn configure(config: Config) -> Result<Self, Problems> {
//!         let mut problems = Problems::new();
//!         if config.field.is_empty() {
//!             problems.add("/field", "must not be empty");
//!         }
//!         problems.or_else_ok(|| Self { field: config.field })
//!     }
//!
//!     fn decide(&self, message: &Message) -> Result<Decision, Failure> {
//!         let stranger = message.client().auth_user.is_empty();
//!         let decision = Decision::next().with_fact("stranger", stranger);
//!         Ok(if stranger { decision.add_header(&self.field, "yes") } else { decision })
//!     }
//! }
//!
//! wasmilter_sdk::plugin!(Marker);
//! ```
//!
//! The same code runs in the host (built for `wasm32-unknown-unknown`, made a component by `wasmilter plugin build`)
//! and in `cargo test`, where [`Message`] is a double made from a file; see [`testing`].
//!
//! The reference manual of the contract is `wit/` in the Wasmilter repository; the generated [`bindings`] carry its
//! text. A plugin that wants more than [`Policy`] offers implements [`Lifecycle`] and [`MessagePolicy`] itself and ends
//! with `wasmilter_sdk::export_message_plugin!(MyPlugin);`.

#[cfg(target_family = "wasm")]
#[path = "ambient.rs"]
mod source;
#[cfg(not(target_family = "wasm"))]
#[path = "testing/source.rs"]
mod source;

mod configuration;
mod decision;
mod failure;
pub mod log;
mod message;
mod policy;
mod problems;
mod service;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use configuration::{DirectoryContent, FileContent, NamedContent};
pub use message::{Blob, Message, PartReader, RawReader};
pub use policy::{Exported, Info, Policy};
pub use problems::Problems;
pub use service::Service;

/// What `wit-bindgen` makes of the contract.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from wit/, which has the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world plugin { include wasmilter:policy/imports@1.0.0; export wasmilter:policy/lifecycle@1.0.0; export wasmilter:policy/message-policy@1.0.0; }",
        pub_export_macro: true,
        export_macro_name: "export_message_plugin_bindings",
        default_bindings_module: "wasmilter_sdk::bindings",
        generate_all,
    });
}

pub use bindings::{
    exports::wasmilter::policy::{
        lifecycle::{Guest as Lifecycle, PluginInfo, Problem},
        message_policy::{
            Annotation, Content, Decision, Edit, Entity, Guest as MessagePolicy, HeaderOccurrence, HeaderReplacement,
            NewAddress, NewClient, NewHeader, NewPart, PartReplacement,
        },
    },
    wasmilter::policy::{
        client,
        client::ClientInfo,
        clock, envelope, facts, headers,
        headers::Address,
        output, parts,
        parts::{Part, PartKind, PartRole},
        random, raw, services,
        services::ServiceError,
        types::{Fact, FactValue, Failure, FailureKind, HeaderField, Mailbox, Reply, Verdict},
    },
};

/// Exports a type that implements [`Lifecycle`] and [`MessagePolicy`] as the plugin.
#[macro_export]
macro_rules! export_message_plugin {
    ($plugin:ident) => {
        $crate::bindings::export_message_plugin_bindings!($plugin with_types_in $crate::bindings);
    };
}
