//! Whole sessions: a fake MTA on one side of a socket, the door on the other, a scripted judge behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::let_underscore_must_use,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "tests fail by panicking; the fake MTA is shared with other tests"
)]

mod arbiters;
#[path = "../../../../tests/src/fake_mta.rs"]
mod fake_mta;
mod log;
mod modifications;
mod negotiation;
mod panics;
mod replaced;
mod robustness;
mod rules;
mod script;
mod sessions;
mod strangers;
mod verdicts;
