//! What surrounds the plugin in a case: services, DNS, store and clock, as scripted. Where the plugin leaves the script is
//! noted.

pub(crate) mod dns;
pub(crate) mod services;
pub(crate) mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// Where the plugin left the script, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strayed(Arc<Mutex<Vec<String>>>);

impl Strayed {
    /// Notes something, once.
    pub(crate) fn note(&self, what: String) {
        let mut list = lock(&self.0);
        if !list.contains(&what) {
            list.push(what);
        }
    }

    /// All that was noted.
    pub(crate) fn list(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

/// The clock of a case: stands still during a call.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<f64>>);

impl Clock {
    /// A clock that shows that many seconds since 1970.
    pub(crate) fn at(now: f64) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> f64 {
        *lock(&self.0)
    }

    /// The same, as the system tells it.
    pub(crate) fn system_time(&self) -> SystemTime {
        let since_1970 = Duration::try_from_secs_f64(self.now()).unwrap_or_default();
        SystemTime::UNIX_EPOCH.checked_add(since_1970).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: f64) {
        *lock(&self.0) += seconds;
    }
}

/// Whoever panicked while holding one of our locks left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes for messages: readable, cut.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 120;
    match bytes.get(..MOST) {
        Some(beginning) if bytes.len() > MOST => format!("\"{}\"… ({} bytes)", beginning.escape_ascii(), bytes.len()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
