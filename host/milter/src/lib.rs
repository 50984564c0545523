//! The milter door: how mail comes in from Postfix and Sendmail, and how verdicts and changes go back.
//!
//! Read [`session`] first: its loop says what happens at each event of the protocol. Around it:
//! [`address`] and [`listener`] (where the MTA connects), [`mod@serve`] (accepting, shutting down), [`connection`] (frames),
//! [`event`] (what a frame says), [`negotiate`] (what is asked of the MTA), [`macros`], [`collect`] (the message so far),
//! [`modification`] (what is different in the judged message), [`mod@smtp_reply`] (what the SMTP client hears), [`reply`]
//! (all of that as milter replies) and [`stranger`] (peers that are no mail servers).
//!
//! Invariant: the only crate that knows the milter protocol and the `indymilter` library. It decides nothing about
//! mail: it knows a [`Judge`](wasmilter_message::judge::Judge) and asks it.

pub mod address;
mod collect;
mod connection;
mod event;
pub mod listener;
mod macros;
pub mod metrics;
pub mod modification;
mod negotiate;
mod reply;
pub mod serve;
mod session;
pub mod settings;
pub mod smtp_reply;
mod stranger;

pub use address::{Address, AddressError};
pub use collect::receive;
pub use listener::{BindError, Listener};
pub use metrics::Metrics;
pub use modification::{Modification, modifications, modifications_for};
pub use serve::{Opening, serve, serve_connection, serve_doors};
pub use session::Door;
pub use settings::Settings;
pub use smtp_reply::smtp_reply;
