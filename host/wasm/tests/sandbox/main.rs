//! The sandbox on real guests: `tests/guests`, which misbehave on purpose, and the bundled plugins. Limits are tried from
//! both sides, and every violation while a neighbour runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "tests may panic; clippy exempts test functions, but not their helpers"
)]

mod bundled;
mod grants;
mod isolation;
mod limits;
mod loading;
mod outside;
mod refusals;
mod runtime;
mod services;
mod support;
mod usage;
mod versions;
