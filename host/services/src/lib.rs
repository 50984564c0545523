//! What capabilities stand on. For now: [`named`] network services. Each kind of thing is one file, behind a trait in
//! `wasmilter_message`.
//!
//! Invariant: knows neither plugins nor stages nor what is spoken over a stream. Every wait has a bound.

pub mod address;
pub mod metrics;
pub mod named;

pub use address::{AddressError, ServiceAddress};
pub use metrics::ServiceMetrics;
pub use named::{NamedServices, ServiceSettings};
