//! `[store]`: what the plugin remembers, before and after.

use super::{Clock, lock};
use crate::{
    outcome::Contents,
    source::{CaseError, Short, Source},
    transaction::StoreKeys,
};
use base64::Engine as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use wasmilter_message::{
    deadline::Deadline,
    judge::BoxFuture,
    store::{Store, StoreError},
};

/// What the store has, each with the seconds that it lives; none: for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreScript {
    pub(crate) values: BTreeMap<String, (Vec<u8>, Option<u32>)>,
    pub(crate) counters: BTreeMap<String, (u32, Option<u32>)>,
}

impl StoreScript {
    pub(crate) fn read(keys: StoreKeys, source: &Source) -> Result<Self, CaseError> {
        let mut script = Self::default();
        for (key, value) in keys.values {
            let span = value.span();
            let value = match value.into_inner() {
                Short::Short(text) => (text.into_bytes(), None),
                Short::Long(long) => match (long.value, long.base64) {
                    (Some(text), None) => (text.into_bytes(), long.seconds),
                    (None, Some(text)) => match base64::engine::general_purpose::STANDARD.decode(text) {
                        Ok(bytes) => (bytes, long.seconds),
                        Err(error) => return Err(source.wrong(&span, format!("is no base64: {error}"))),
                    },
                    _ => return Err(source.wrong(&span, "needs one of `value` and `base64`")),
                },
            };
            script.values.insert(key, value);
        }
        for (key, counter) in keys.counters {
            let counter = match counter.into_inner() {
                Short::Short(count) => (count, None),
                Short::Long(long) => (long.value, long.seconds),
            };
            script.counters.insert(key, counter);
        }
        Ok(script)
    }

    /// The contents, without how long they live.
    pub(crate) fn contents(&self) -> Contents {
        Contents {
            values: self.values.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect(),
            counters: self.counters.iter().map(|(key, (count, _))| (key.clone(), *count)).collect(),
        }
    }
}

/// The store while a case runs. There is one, whatever the plugin's space is called.
pub(crate) struct Scripted {
    clock: Clock,
    values: Mutex<Entries<Vec<u8>>>,
    counters: Mutex<Entries<u32>>,
}

/// Each with the time at which it expires.
type Entries<T> = BTreeMap<String, (T, f64)>;

impl Scripted {
    pub(crate) fn new(script: StoreScript, clock: &Clock) -> Arc<Self> {
        let expires = |seconds: Option<u32>| seconds.map_or(f64::INFINITY, |seconds| clock.now() + f64::from(seconds));
        let values = script.values.into_iter().map(|(key, (value, seconds))| (key, (value, expires(seconds))));
        let counters = script.counters.into_iter().map(|(key, (count, seconds))| (key, (count, expires(seconds))));
        Arc::new(Self {
            values: Mutex::new(values.collect()),
            counters: Mutex::new(counters.collect()),
            clock: clock.clone(),
        })
    }

    /// What has not expired.
    pub(crate) fn contents(&self) -> Contents {
        fn alive<T: Clone>(entries: &Mutex<Entries<T>>, now: f64) -> BTreeMap<String, T> {
            let entries = lock(entries);
            let alive = entries.iter().filter(|(_, (_, expires))| *expires > now);
            alive.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
        }
        let now = self.clock.now();
        Contents { values: alive(&self.values, now), counters: alive(&self.counters, now) }
    }

    fn expires(&self, seconds: u32) -> f64 {
        self.clock.now() + f64::from(seconds)
    }
}

impl Store for Scripted {
    fn get<'a>(&'a self, _: &'a str, key: &'a str, _: Deadline) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let values = lock(&self.values);
            let alive = values.get(key).filter(|(_, expires)| *expires > self.clock.now());
            Ok(alive.map(|(value, _)| value.clone()))
        })
    }

    fn set<'a>(
        &'a self,
        _: &'a str,
        key: &'a str,
        value: &'a [u8],
        seconds: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            lock(&self.values).insert(key.to_owned(), (value.to_owned(), self.expires(seconds)));
            Ok(())
        })
    }

    fn remove<'a>(&'a self, _: &'a str, key: &'a str, _: Deadline) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            lock(&self.values).remove(key);
            lock(&self.counters).remove(key);
            Ok(())
        })
    }

    fn add<'a>(
        &'a self,
        _: &'a str,
        key: &'a str,
        amount: u32,
        seconds: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut counters = lock(&self.counters);
            let alive = counters.get(key).copied().filter(|(_, expires)| *expires > self.clock.now());
            let (before, expires) = alive.unwrap_or_else(|| (0, self.expires(seconds)));
            let count = before.saturating_add(amount).min(i32::MAX.unsigned_abs());
            if amount > 0 {
                counters.insert(key.to_owned(), (count, expires));
            }
            Ok(count)
        })
    }
}
