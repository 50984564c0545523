//! The sandbox: runs plugins, which are WebAssembly components, on messages.
//!
//! [`Sandbox::load`] compiles a component and asks it who it is; [`Sandbox::prepare`] configures it for one stage and
//! takes a snapshot of its memory; the resulting [`Plugin`] is a [`Policy`](wasmilter_message::policy::Policy): every
//! message gets a fresh instance that starts from the snapshot, asks the message what it wants to know through
//! `capabilities/`, and ends with a decision or one typed failure.
//!
//! The page to read first is `plugin.rs`: it tells the life of one call.
//!
//! Invariants: no other crate knows wasmtime or the generated types of `wit/`. A guest reaches nothing but the
//! functions in `capabilities/`, and of those only what its stage was granted. Every call ends by its deadline, and
//! nothing that a guest does ends the host or reaches a neighbour.

mod bindings;
mod cache;
mod call;
mod capabilities;
mod component;
mod convert;
mod failure;
mod limiter;
mod meter;
mod outside;
mod plugin;
mod prepare;
mod sandbox;
mod snapshot;
mod stage;
mod ticker;
mod version;
mod workshop;

pub use component::{Component, Inspection, LoadError};
pub use outside::{Clock, Outside};
pub use plugin::{Plugin, StartedFrom};
pub use prepare::{PrepareError, Problem};
pub use sandbox::{Occupancy, Sandbox, SandboxError, SandboxSettings};
pub use stage::{Isolation, Limits, StageSettings};
