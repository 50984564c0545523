//! Write Wasmilter plugins in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and what it judges, and one line that exports it:
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use wasmilter_sdk::{Decision, Failure, HeaderName, Info, Message, MessagePolicy, Plugin, Problems};
//!
//! /// Marks mail from strangers, refuses what is too large.
//! pub struct Strangers {
//!     config: Config,
//! }
//!
//! /// `[stage.config]`. Administrators read these comments: they are in the JSON Schema.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     /// Header field that marks the message.
//!     field: HeaderName,
//!     /// Largest message in bytes; without: any.
//!     largest: Option<u32>,
//! }
//!
//! impl Plugin for Strangers {
//!     type Config = Config;
//!
//!     fn info() -> Info {
//!         // Name, version, description, licence and home page are those of Cargo.toml; then the grants.
//!         wasmilter_sdk::info!("headers", "raw")
//!     }
//!
//!     fn configure(config: Config) -> Result<Self, Problems> {
//!         let mut problems = Problems::new();
//!         if config.largest == Some(0) {
//!             problems.add("/largest", "must be above 0, is 0");
//!         }
//!         problems.or_else_ok(|| Self { config })
//!     }
//! }
//!
//! impl MessagePolicy for Strangers {
//!     fn decide(&self, message: &Message) -> Result<Decision, Failure> {
//!         if self.config.largest.is_some_and(|largest| message.raw_size() > largest) {
//!             return Ok(Decision::reject("the message is too large"));
//!         }
//!         let stranger = message.client().auth_user.is_empty();
//!         let decision = Decision::next().with_fact("stranger", stranger).remove_headers(self.config.field.clone());
//!         Ok(if stranger { decision.add_header(self.config.field.clone(), "yes") } else { decision })
//!     }
//! }
//!
//! wasmilter_sdk::plugin!(Strangers: message);
//!
//! // In `cargo test`, without a host:
//! use wasmilter_sdk::testing;
//! let message = Message::parse(b"Subject: hello\n\nhello\n");
//! let decision = testing::judge::<Strangers>(r#"{"field": "X-Stranger"}"#, &message)?;
//! assert_eq!(testing::edit_line(&decision.edits()[1]), "add-header X-Stranger: yes");
//!
//! let problems = testing::configure::<Strangers>(r#"{"field": "X Stranger", "largest": 0}"#).err().unwrap();
//! assert!(problems.mentions("/field"));
//! # Ok::<(), Failure>(())
//! ```
//!
//! `Cargo.toml` has `crate-type = ["cdylib", "rlib"]` under `[lib]`, and `serde` (with `derive`) and `schemars` 1 beside this crate.
//! `wasmilter plugin build` makes the component. Only the imports that the code uses end up in it: a plugin that never asks for
//! a part needs no grant for parts.
//!
//! # The life of a plugin
//!
//! The host asks [`Plugin::info`] and for the schema of [`Plugin::Config`], holds the stage's configuration against it, and calls
//! [`Plugin::configure`] once; then it takes a snapshot. Every call after that (a message, a hook) starts from the snapshot:
//! what `configure` computed is there, what another call left behind is not. To remember something, use the [`Store`].
//!
//! # What a plugin judges
//!
//! | trait | when | what is known | answer |
//! |---|---|---|---|
//! | [`OnConnect`] | a client connects | [`Session`] | [`HookDecision`] |
//! | [`OnHelo`] | HELO, EHLO | [`Session`] | [`HookDecision`] |
//! | [`OnMail`] | MAIL FROM | [`Transaction`] | [`HookDecision`] |
//! | [`OnRcpt`] | RCPT TO | [`Transaction`] and the recipient | [`HookDecision`] |
//! | [`MessagePolicy`] | the whole message is there | [`Message`] | [`Decision`] |
//!
//! A [`Message`] is a [`Transaction`], and that is a [`Session`]. `Err(`[`Failure`]`)` means "I could not decide"; the stage's
//! `on_failure` then does. Errors of services, DNS and the store become failures by `?`.
//!
//! # Grants
//!
//! | what is used | grant |
//! |---|---|
//! | [`Session::client`], [`Session::fact`], [`log`] | none |
//! | [`Transaction`]: sender, recipients, queue id | `envelope` |
//! | header fields, and edits of them | `headers` |
//! | [`Message::parts`] | `text` or `attachments` |
//! | content of parts with role `body`, edits of those, [`Annotation`] | `text` |
//! | content of other parts, edits of those, new parts | `attachments` |
//! | [`Message::raw_reader`], entities, [`Entity`] | `raw` |
//! | edits of sender and recipients | `recipients` |
//! | [`Decision::set_client`] | `set-client` |
//! | [`Session::service`] | `service:NAME` |
//! | [`Session::dns`], [`Session::now`], [`Session::random`] | `dns`, `clock`, `random` |
//! | [`Session::store`] | `store`, or `store:NAME` for one that stages share |
//!
//! # Beneath
//!
//! The reference manual of the contract is `wit/` in the Wasmilter repository; the generated [`bindings`] carry its
//! text.

#![warn(missing_docs)]

#[cfg(target_family = "wasm")]
#[path = "ambient.rs"]
mod source;
#[cfg(not(target_family = "wasm"))]
#[path = "testing/source.rs"]
mod source;

mod address;
pub mod bindings;
mod configuration;
mod content;
mod decision;
mod dns;
mod fact;
mod failure;
mod files;
mod header;
mod hook;
mod invalid;
pub mod log;
mod message;
mod plugin;
mod problems;
mod reply;
mod schema;
mod service;
mod session;
mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;

pub use address::{Destination, EmailAddress, NewClient};
pub use content::{Annotation, Content, ContentEdit, ContentField, Entity, MediaType, NewPart, PartEdits, escape_html};
pub use decision::{Decision, Removal};
pub use dns::{Dns, DnsError};
pub use files::{DirectoryContent, FileContent, NamedContent, TextOrFile};
pub use header::{HeaderName, HeaderValue};
pub use hook::HookDecision;
pub use invalid::Invalid;
pub use message::{Blob, HeaderField, Message, Part, PartReader, RawReader, Recipients};
pub use plugin::{Exported, Info, MessagePolicy, OnConnect, OnHelo, OnMail, OnRcpt, Plugin};
pub use problems::{Problems, escape};
pub use reply::{Deferral, Rejection};
pub use service::Service;
pub use session::{Session, Transaction};
pub use store::{Store, StoreError};

use bindings::message::exports::wasmilter::policy::message_policy::NewAddress;
pub use bindings::{
    lifecycle::exports::wasmilter::policy::lifecycle::{PluginInfo, Problem},
    message::exports::wasmilter::policy::message_policy::Edit,
    wasmilter::policy::{
        client::ClientInfo,
        dns::MailExchanger,
        headers::Address,
        hook_types::HookVerdict,
        parts::{Part as PartInfo, PartKind, PartRole},
        services::ServiceError,
        types::{Fact, FactValue, Failure, FailureKind, HeaderField as RawHeaderField, Mailbox, Reply, Verdict},
    },
};
