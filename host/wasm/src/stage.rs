//! What a stage asks of the sandbox.

use crate::{call::Usage, outside::Outside};
use std::{fmt, sync::Arc, time::Duration};
use wasmilter_message::{body::BodyStore, grants::Grants};

/// How a component is to be used by one stage.
#[derive(Debug, Clone)]
pub struct StageSettings {
    /// Name of the stage, for logs.
    pub stage: Arc<str>,
    /// The stage's configuration as JSON text, as `lifecycle.configure` takes it; `{}` when there is none.
    pub config: String,
    /// What the stage may reach.
    pub grants: Grants,
    /// What one call may use.
    pub limits: Limits,
    /// Whether instances are reused.
    pub isolation: Isolation,
}

/// What one call of a plugin may use of the host. Passing a limit fails the call with `cpu`, `memory` or `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of one call: of the guest, of the host's functions that it calls on its thread, and of `configure` where it
    /// runs for the message. Looked at every millisecond.
    pub cpu: Duration,
    /// Linear memory in bytes, all of an instance's memories together. At most `SandboxSettings::memory_max`.
    pub memory: u64,
    /// Bytes that the plugin hands over in one piece: arguments of one call of the host, and the whole decision with its
    /// inline content.
    pub inline_bytes: usize,
    /// Bytes written to blobs (interface `output`), all together.
    pub output_bytes: u64,
    /// Calls of imported functions.
    pub host_calls: u64,
    /// Lines to the log, those that it prints included. A line above 300 bytes is cut.
    pub log_lines: u32,
    /// Bytes to the log, as they are written there.
    pub log_bytes: usize,
    /// Edits in one decision.
    pub edits: usize,
    /// Facts in one decision.
    pub facts: usize,
    /// Bytes of all facts of one decision, names and values.
    pub fact_bytes: usize,
    /// Streams to services that are open at the same time.
    pub open_streams: usize,
    /// Bytes to and from services, all together.
    pub service_bytes: u64,
    /// Questions to the domain name system.
    pub dns_queries: u32,
    /// Calls of the store.
    pub store_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(10),
            memory: 64 << 20,
            inline_bytes: 8 << 20,
            output_bytes: 256 << 20,
            // A message of 100 MB read by kilobytes needs 100 000.
            host_calls: 1_000_000,
            log_lines: 100,
            log_bytes: 16 << 10,
            edits: wasmilter_message::apply::MAX_EDITS,
            facts: 100,
            fact_bytes: 64 << 10,
            open_streams: 8,
            service_bytes: 1 << 30,
            dns_queries: 100,
            store_calls: 1000,
        }
    }
}

/// Whether a message meets an instance that another message has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Never: every message gets a fresh instance.
    #[default]
    Message,
    /// An instance judges up to so many messages, one at a time, and is dropped after any failure.
    Worker {
        /// Messages that one instance judges.
        messages: u32,
    },
}

/// What the host's side of a call needs to know of its stage.
pub(crate) struct Stage {
    pub(crate) name: Arc<str>,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    pub(crate) outside: Outside,
    /// The part of the store that is this stage's; None without a grant.
    pub(crate) space: Option<String>,
    pub(crate) bodies: Arc<dyn BodyStore>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("name", &self.name).field("grants", &self.grants).finish_non_exhaustive()
    }
}

impl Limits {
    /// Counts one call of an imported function.
    pub(crate) fn one_more_call(&self, usage: &mut Usage) -> bool {
        usage.host_calls = usage.host_calls.saturating_add(1);
        usage.host_calls <= self.host_calls
    }
}
