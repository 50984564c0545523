//! What a plugin remembers from one message to the next.

use crate::{Failure, bindings::wasmilter::policy::store::StoreError as HostError, source::Source};
use serde::{Serialize, de::DeserializeOwned};
use std::{error, fmt, time::Duration};

/// The longest life of an entry: a leap year.
const LONGEST_LIFE: u32 = 31_622_400;

/// The stage's store: keys with values that expire, and counters. Needs the grant `store` (a store of the stage's own) or
/// `store:NAME` (one that stages share). Made by [`Session::store`](crate::Session::store).
///
/// Lives are rounded up to seconds, from 1 second to 366 days. Keys have at most 512 bytes, values 65 536.
#[derive(Clone, Copy)]
pub struct Store<'m> {
    source: &'m Source,
}

impl<'m> Store<'m> {
    pub(crate) const fn new(source: &'m Source) -> Self {
        Self { source }
    }

    /// A value that [`Store::set`] stored; none when there is none, or it has expired.
    ///
    /// # Errors
    /// When the store can not be read, or the value is of another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get_bytes(key)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::Malformed(error.to_string()))
    }

    /// Stores a value as JSON.
    ///
    /// # Errors
    /// When the store can not be written, or a limit is passed.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, life: Duration) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Malformed(error.to_string()))?;
        self.set_bytes(key, &bytes, life)
    }

    /// The bytes of a value.
    ///
    /// # Errors
    /// When the store can not be read.
    pub fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.source.store_get(key)?)
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// When the store can not be written, or a limit is passed.
    pub fn set_bytes(&self, key: &str, value: &[u8], life: Duration) -> Result<(), StoreError> {
        Ok(self.source.store_set(key, value, seconds(life))?)
    }

    /// Removes the value and the counter of that key; there need not be one.
    ///
    /// # Errors
    /// When the store can not be written.
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        Ok(self.source.store_remove(key)?)
    }

    /// Adds to a counter in one step, whoever else does, and gives its new value. A counter that does not exist begins at 0 and
    /// lives for `window` from this call on, whatever is added later.
    ///
    /// # Errors
    /// When the store can not be written, or a limit is passed.
    pub fn count(&self, key: &str, amount: u32, window: Duration) -> Result<u32, StoreError> {
        Ok(self.source.store_add(key, amount, seconds(window))?)
    }

    /// The value of a counter; 0 when there is none.
    ///
    /// # Errors
    /// When the store can not be read.
    pub fn counted(&self, key: &str) -> Result<u32, StoreError> {
        Ok(self.source.store_add(key, 0, 1)?)
    }
}

fn seconds(life: Duration) -> u32 {
    let whole = life.as_secs().saturating_add(u64::from(life.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(LONGEST_LIFE).clamp(1, LONGEST_LIFE)
}

/// Why the store could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It can not be read or written.
    Unavailable(String),
    /// A key or value is too long, or there are too many entries or calls.
    Limit(String),
    /// What is stored is not of the type asked for, or the value can not be written as JSON.
    Malformed(String),
}

impl From<HostError> for StoreError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Unavailable(why) => Self::Unavailable(why),
            HostError::Limit(which) => Self::Limit(which),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(formatter, "can not be used: {why}"),
            Self::Limit(which) => write!(formatter, "limit passed: {which}"),
            Self::Malformed(what) => write!(formatter, "value of another type: {what}"),
        }
    }
}

impl error::Error for StoreError {}

/// A failure of the kind `service`.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::service(format!("store: {error}"))
    }
}
