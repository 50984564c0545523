//! The vocabulary of Wasmilter: what a message is made of, what may be asked of it, and what was decided about it.
//!
//! Everything here is plain data and pure functions. Start with [`message`] (the states of a message), then
//! [`decision`] (what a stage says) and [`apply`](mod@apply) (how what it says changes the message). What a plugin can see
//! of a message is in [`view`], its parts in [`mime`]; [`eml`] reads one from a file.
//!
//! Invariant: no I/O, no async runtime, no wasmtime, no actix. Nothing here knows the milter protocol.

pub mod apply;
pub mod body;
pub mod client;
pub mod deadline;
pub mod decision;
pub mod dns;
pub mod eml;
pub mod envelope;
pub mod facts;
pub mod failure;
pub mod grants;
pub mod headers;
pub mod judge;
pub mod limit;
pub mod message;
pub mod mime;
pub mod policy;
pub mod service;
pub mod store;
pub mod trace;
pub mod turn;
pub mod view;
