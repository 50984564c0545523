//! What the end-to-end tests stand on: real mail servers and scanners, started privately, and a client and a sink of
//! our own around them. Everything is on loopback or unix sockets, in directories of its own, ended by its own pid.
//! A harness fails by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test harness fails by panicking, and speaks to whoever runs it"
)]

pub mod clamd;
pub mod corpus;
pub mod fake_mta;
pub mod letter;
pub mod mta;
pub mod ports;
pub mod postfix;
pub mod prometheus;
pub mod registry;
pub mod rspamd;
pub mod scratch;
pub mod script;
pub mod sendmail;
pub mod server;
pub mod sink;
pub mod small_disk;
pub mod smtp_client;
pub mod spamd;
pub mod transaction;
pub mod wait;
pub mod wasmilter;
