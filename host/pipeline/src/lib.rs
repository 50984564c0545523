//! The pipeline: takes messages from a door, leads them through the configured stages, says what happens to them.
//!
//! Start with [`gate`]: one function there tells the life of a message. A [`stage`] is an actor that runs one
//! [`Policy`](wasmilter_message::policy::Policy); `turns` keeps messages from
//! slowing each other down, `bodies` from taking all memory; `route` says which stages a message takes, `step` what is asked at once, a stage or a
//! group, and `merge` what a group changes; `lane` is what all workers share of a stage; `supervise` brings
//! dead actors back; `breaker` spares messages a plugin that fails again and again; `combine` is the one table from failures to verdicts; [`condition`] decides whether a stage is
//! wanted at all.
//!
//! ```text
//! door ─judge()─► gate ──turn at the processor, permit──► stage 1 ──► stage 2 ──► … ──► verdict, message, trace
//!                  │ not within queue_time                │
//!                  ▼                                      ├─ slot of the stage, at most `concurrency`; none in time: overload
//!                 451                                     └─ mailbox of the worker's actor, never longer than the slots
//! ```
//!
//! Invariants: the only crate that knows actix. Mail travels by `send`, which answers, never by `do_send`. Nothing here
//! knows WebAssembly or the milter protocol. No message content in logs.

mod bodies;
mod breaker;
mod clock;
mod combine;
pub mod condition;
pub mod feed;
pub mod gate;
mod lane;
mod merge;
pub mod metrics;
mod pipeline;
pub mod record;
mod route;
pub mod stage;
mod step;
mod supervise;
mod turns;

pub use breaker::BreakerSettings;
pub use condition::{Condition, ConditionError, Local};
pub use gate::Limits;
pub use metrics::Metrics;
pub use pipeline::{Pipeline, Plan};
pub use route::Route;
pub use stage::{Mode, OnFailure, Stage};

#[cfg(test)]
mod tests;
