//! What lies outside of the sandbox and is reached through capabilities.

use std::{fmt, sync::Arc, time::SystemTime};
use wasmilter_message::{
    deadline::Deadline,
    dns::{Dns, DnsError, MailExchanger},
    judge::BoxFuture,
    service::{Connection, ServiceError, Services},
    store::{Store, StoreError},
};

/// What stands behind the interfaces `services`, `dns`, `store` and `clock`. Which of it a stage reaches is up to its grants.
#[derive(Clone)]
pub struct Outside {
    /// Named network services.
    pub services: Arc<dyn Services>,
    /// The resolver.
    pub dns: Arc<dyn Dns>,
    /// The key-value store.
    pub store: Arc<dyn Store>,
    /// The time of day; a test may have its own.
    pub clock: Clock,
}

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Outside {
    /// Nothing is there but the system's clock: every service is denied, every name fails, the store is unavailable.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            services: Arc::new(Nothing),
            dns: Arc::new(Nothing),
            store: Arc::new(Nothing),
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

struct Nothing;

impl Services for Nothing {
    fn open<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Box<dyn Connection>, ServiceError>> {
        Box::pin(async { Err(ServiceError::Denied) })
    }
}

impl Dns for Nothing {
    fn addresses<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async { Err(no_resolver()) })
    }

    fn texts<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async { Err(no_resolver()) })
    }

    fn mail_exchangers<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<MailExchanger>, DnsError>> {
        Box::pin(async { Err(no_resolver()) })
    }

    fn names<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async { Err(no_resolver()) })
    }
}

impl Store for Nothing {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async { Err(no_store()) })
    }

    fn set<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a [u8],
        _: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(no_store()) })
    }

    fn remove<'a>(&'a self, _: &'a str, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(no_store()) })
    }

    fn add<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u32,
        _: u32,
        _: Deadline,
    ) -> BoxFuture<'a, Result<u32, StoreError>> {
        Box::pin(async { Err(no_store()) })
    }
}

fn no_resolver() -> DnsError {
    DnsError::Failed("no resolver is configured".to_owned())
}

fn no_store() -> StoreError {
    StoreError::Unavailable("no store is configured".to_owned())
}
