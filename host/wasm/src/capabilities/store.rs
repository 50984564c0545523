//! `store`: what a plugin remembers from message to message. Linked only with a grant, which also says whose store it is. Sizes,
//! lifetimes and the number of calls are bounded here; the number of entries by what stands behind it.

use crate::{
    bindings::wasmilter::policy::store,
    call::Call,
    failure::{Stop, one_line},
};
use std::sync::Arc;
use store::StoreError;
use wasmilter_message::{limit::Limit, store as outside, turn};

/// Longest key in bytes.
const KEY: usize = 512;

/// Largest value in bytes.
const VALUE: usize = 65_536;

/// Longest lifetime in seconds: a leap year.
const SECONDS: u32 = 31_622_400;

/// A store and the space in it that belongs to the stage.
struct Mine {
    store: Arc<dyn outside::Store>,
    space: String,
}

impl store::Host for Call {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, StoreError>> {
        let mine = match self.mine(&key, None)? {
            Ok(mine) => mine,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(mine.store.get(&mine.space, &key, self.deadline)).await.map_err(told))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, seconds: u32) -> wasmtime::Result<Result<(), StoreError>> {
        let mine = match self.mine(&key, Some(seconds))? {
            Ok(mine) => mine,
            Err(error) => return Ok(Err(error)),
        };
        if value.len() > VALUE {
            self.refuse(Limit::StoreSizes);
            return Ok(Err(StoreError::Limit(format!("a value of {} bytes, at most {VALUE}", value.len()))));
        }
        Ok(turn::outside(mine.store.set(&mine.space, &key, &value, seconds, self.deadline)).await.map_err(told))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), StoreError>> {
        let mine = match self.mine(&key, None)? {
            Ok(mine) => mine,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(mine.store.remove(&mine.space, &key, self.deadline)).await.map_err(told))
    }

    async fn add(&mut self, key: String, amount: u32, seconds: u32) -> wasmtime::Result<Result<u32, StoreError>> {
        // Nothing is made by adding nothing: it has no lifetime.
        let mine = match self.mine(&key, (amount > 0).then_some(seconds))? {
            Ok(mine) => mine,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(mine.store.add(&mine.space, &key, amount, seconds, self.deadline)).await.map_err(told))
    }
}

impl Call {
    /// Counts a call of the store, checks its arguments, and gives the stage's part of it.
    fn mine(&mut self, key: &str, seconds: Option<u32>) -> wasmtime::Result<Result<Mine, StoreError>> {
        self.charge()?;
        let Some(space) = &self.stage.space else {
            return Err(Stop::Ungranted { what: "the store", grant: "store" }.into());
        };
        let limit = self.stage.limits.store_calls;
        self.usage.store_calls = self.usage.store_calls.saturating_add(1);
        if self.usage.store_calls > limit {
            self.refuse(Limit::StoreCalls);
            return Ok(Err(StoreError::Limit(format!("{limit} calls of the store"))));
        }
        if key.len() > KEY {
            self.refuse(Limit::StoreSizes);
            return Ok(Err(StoreError::Limit(format!("a key of {} bytes, at most {KEY}", key.len()))));
        }
        if let Some(seconds) = seconds.filter(|seconds| !(1..=SECONDS).contains(seconds)) {
            self.refuse(Limit::StoreSizes);
            return Ok(Err(StoreError::Limit(format!("a lifetime of {seconds} seconds, 1 to {SECONDS}"))));
        }
        Ok(Ok(Mine { store: Arc::clone(&self.stage.outside.store), space: space.clone() }))
    }
}

fn told(error: outside::StoreError) -> StoreError {
    match error {
        outside::StoreError::Unavailable(reason) => StoreError::Unavailable(one_line(&reason)),
        outside::StoreError::Limit(what) => StoreError::Limit(what),
    }
}
