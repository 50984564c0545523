//! What plugins remember from one message to the next, as the sandbox sees it. Implemented by the services crate.

use crate::{deadline::Deadline, judge::BoxFuture};

/// Values and counters by key, each with a time to live. A `space` is the stage's name, or `:` and the name of a store
/// that stages share; what is in one can not be seen from another.
pub trait Store: Send + Sync {
    /// The value; none when there is none or it has expired.
    fn get<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;
    /// Sets a value that expires after `seconds`.
    fn set<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        value: &'a [u8],
        seconds: u32,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Removes a value and a counter of that key.
    fn remove<'a>(&'a self, space: &'a str, key: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Adds to a counter, atomically, and gives its new value (saturating at 2³¹ − 1). A counter that does not exist begins
    /// at 0 and lives for `seconds` from now on; adding 0 reads without making one.
    fn add<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        amount: u32,
        seconds: u32,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<u32, StoreError>>;
}

/// Why the store could not be used; `store-error` of `wit/host.wit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It can not be read or written.
    #[error("{0}")]
    Unavailable(String),
    /// Key, value, lifetime or number of entries.
    #[error("limit passed: {0}")]
    Limit(String),
}
