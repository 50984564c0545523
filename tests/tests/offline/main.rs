//! What can be proven without a mail server: how the crates depend on each other, and what `wasmilter try` says of
//! messages that are kept as files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod architecture;
mod cases;
mod scenarios;
