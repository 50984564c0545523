//! The composition root: reads the configuration, builds every part of the daemon and introduces them to each other, runs
//! and stops them. The page to read first is [`App::build`](app::App::build).
//!
//! Invariant: nothing here knows what is inside a message. What a part does is in its own crate.

pub mod app;
mod bundled;
pub mod config;
mod descriptors;
mod in_force;
pub mod inherited;
pub mod inspect;
mod memory;
pub mod metrics;
mod origin;
mod otlp;
mod parts;
pub mod reload;
mod schema;
pub mod serve;
mod service_manager;
pub mod shutdown;
pub mod stages;
mod successor;
mod tap;
pub mod telemetry;
pub mod trial;
mod watch;
mod workers;

pub use app::{App, BuildError};
pub use inherited::Inherited;
pub use reload::{ReloadError, Reloaded, Reloader};
