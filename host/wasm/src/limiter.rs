//! Memory of one instance: the sum over its linear memories, counted against the stage's limit.

use wasmtime::ResourceLimiter;

/// Entries of one table. A table holds the functions that are called through pointers; the biggest language runtimes
/// have some 30 000.
pub(crate) const TABLE_ENTRIES: usize = 1 << 16;

/// Core instances in one component: its modules, adapters and shims. Language runtimes have up to some 20.
const INSTANCES: usize = 100;

/// Counts what an instance has and refuses what it must not have.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: u64,
    used: u64,
    denied: Option<u64>,
    tables_denied: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: 0, denied: None, tables_denied: false }
    }

    /// What the guest wanted in all when it was refused, in bytes.
    pub(crate) fn denied(&self) -> Option<u64> {
        self.denied
    }

    /// What the instance has, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Whether the guest was refused a larger table.
    pub(crate) fn tables_denied(&self) -> bool {
        self.tables_denied
    }

    /// The limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Raises the limit, for what the host itself does to an instance.
    pub(crate) fn raise(&mut self, bytes: u64) {
        self.limit = self.limit.saturating_add(bytes);
    }

    /// Forgets an earlier refusal, for the next call of a reused instance.
    pub(crate) fn forget(&mut self) {
        self.denied = None;
        self.tables_denied = false;
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // Fails by the component's own declaration, which is no business of ours.
            return Ok(true);
        }
        let total = self.used.saturating_sub(current as u64).saturating_add(desired as u64);
        if total > self.limit {
            self.denied = Some(total);
            return Ok(false);
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= TABLE_ENTRIES;
        self.tables_denied |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }
}
