//! The limits of one call of a plugin, by name: which one was hit, in failures and metrics.

use crate::failure::Cause;
use serde::Serialize;

/// What a call is limited in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Processor time.
    Cpu,
    /// Time on the wall.
    Timeout,
    /// Linear memory.
    Memory,
    /// Entries of a table.
    Table,
    /// The guest's stack.
    Stack,
    /// Calls of imported functions.
    HostCalls,
    /// Bytes handed over in one piece.
    InlineBytes,
    /// Bytes written to blobs.
    OutputBytes,
    /// Blobs.
    Blobs,
    /// Lines to the log.
    LogLines,
    /// Bytes to the log.
    LogBytes,
    /// Random bytes at once.
    RandomBytes,
    /// Handles of WASI.
    Handles,
    /// Edits in the decision.
    Edits,
    /// Facts in the decision.
    Facts,
    /// Bytes of facts in the decision.
    FactBytes,
    /// Streams to services that are open at one time. The plugin is told.
    OpenStreams,
    /// Bytes to and from services. The plugin is told.
    ServiceBytes,
    /// Questions to the domain name system. The plugin is told.
    DnsQueries,
    /// Calls of the store. The plugin is told.
    StoreCalls,
    /// Size of a key or value in the store, or its lifetime. The plugin is told.
    StoreSizes,
    /// Slots of the stage (`concurrency`).
    Concurrency,
    /// Slots of the sandbox.
    Sandboxes,
}

impl Limit {
    /// Every limit, in the order of the enum.
    pub const ALL: [Self; 23] = [
        Self::Cpu,
        Self::Timeout,
        Self::Memory,
        Self::Table,
        Self::Stack,
        Self::HostCalls,
        Self::InlineBytes,
        Self::OutputBytes,
        Self::Blobs,
        Self::LogLines,
        Self::LogBytes,
        Self::RandomBytes,
        Self::Handles,
        Self::Edits,
        Self::Facts,
        Self::FactBytes,
        Self::OpenStreams,
        Self::ServiceBytes,
        Self::DnsQueries,
        Self::StoreCalls,
        Self::StoreSizes,
        Self::Concurrency,
        Self::Sandboxes,
    ];

    /// Its name in metrics, logs and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Stack => "stack",
            Self::HostCalls => "host_calls",
            Self::InlineBytes => "inline_bytes",
            Self::OutputBytes => "output_bytes",
            Self::Blobs => "blobs",
            Self::LogLines => "log_lines",
            Self::LogBytes => "log_bytes",
            Self::RandomBytes => "random_bytes",
            Self::Handles => "handles",
            Self::Edits => "edits",
            Self::Facts => "facts",
            Self::FactBytes => "fact_bytes",
            Self::OpenStreams => "open_streams",
            Self::ServiceBytes => "service_bytes",
            Self::DnsQueries => "dns_queries",
            Self::StoreCalls => "store_calls",
            Self::StoreSizes => "store_sizes",
            Self::Concurrency => "concurrency",
            Self::Sandboxes => "sandboxes",
        }
    }

    /// What it counts, in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Cpu => "processor time",
            Self::Timeout => "time",
            Self::Memory => "bytes of memory",
            Self::Table => "entries of a table",
            Self::Stack => "stack",
            Self::HostCalls => "calls of the host",
            Self::InlineBytes => "bytes handed over in one piece",
            Self::OutputBytes => "bytes of output",
            Self::Blobs => "blobs",
            Self::LogLines => "lines to the log",
            Self::LogBytes => "bytes to the log",
            Self::RandomBytes => "random bytes in one call",
            Self::Handles => "handles of WASI",
            Self::Edits => "edits",
            Self::Facts => "facts",
            Self::FactBytes => "bytes of facts",
            Self::OpenStreams => "open streams",
            Self::ServiceBytes => "bytes to and from services",
            Self::DnsQueries => "questions to the domain name system",
            Self::StoreCalls => "calls of the store",
            Self::StoreSizes => "size of an entry in the store",
            Self::Concurrency => "slots of the stage",
            Self::Sandboxes => "slots of the sandbox",
        }
    }

    /// The failure that passing it is.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::Cpu => Cause::Cpu,
            Self::Timeout => Cause::Timeout,
            Self::Memory => Cause::Memory,
            Self::Stack => Cause::Trap,
            Self::Concurrency | Self::Sandboxes => Cause::Overload,
            _ => Cause::Limit,
        }
    }

    const fn bit(self) -> u32 {
        1_u32.wrapping_shl(self as u32)
    }
}

/// Some limits. A number, because one is kept for every call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSet(u32);

impl LimitSet {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// With `limit` as well.
    #[must_use]
    pub const fn with(self, limit: Limit) -> Self {
        Self(self.0 | limit.bit())
    }

    /// Whether `limit` is among them.
    #[must_use]
    pub fn has(self, limit: Limit) -> bool {
        self.0 & limit.bit() != 0
    }

    /// As a number, to be kept where only numbers can be.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// From what [`Self::bits`] gave.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Each of them. Costs nothing when there is none.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        let all = if self.0 == 0 { &[][..] } else { &Limit::ALL[..] };
        all.iter().copied().filter(move |limit| self.has(*limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_into_it() {
        for limit in Limit::ALL {
            let set = LimitSet::NONE.with(limit).with(Limit::Cpu);
            let expected: Vec<Limit> = if limit == Limit::Cpu { vec![limit] } else { vec![Limit::Cpu, limit] };
            assert_eq!(set.iter().collect::<Vec<_>>(), expected);
            assert_eq!(LimitSet::from_bits(set.bits()), set);
        }
        assert_eq!(LimitSet::NONE.iter().count(), 0);
    }

    #[test]
    fn each_limit_is_listed_at_its_place_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        assert!(Limit::ALL.iter().enumerate().all(|(place, limit)| *limit as usize == place));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Limit::ALL.len());
    }
}
