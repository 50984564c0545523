//! What capabilities stand on: [`named`] network services, the [`resolver`] of domain names, the [`store`] of what plugins
//! remember. Each kind of thing is one file, behind a trait in `wasmilter_message`.
//!
//! Invariant: knows neither plugins nor stages nor what is spoken over a stream. Every wait has a bound.

pub mod address;
pub mod metrics;
pub mod named;
pub mod resolver;
pub mod store;

pub use address::{AddressError, ServiceAddress};
pub use metrics::{ResolverMetrics, ServiceMetrics, StoreMetrics};
pub use named::{NamedServices, ServiceSettings};
pub use resolver::{Resolver, ResolverError, ResolverSettings};
pub use store::{Clock, KeyValueStore, StoreOpenError, StoreSettings};
