//! Plugins of others: shipped through registries, signed, loaded again and again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod reloads;
mod shipping;
