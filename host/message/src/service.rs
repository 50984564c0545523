//! Named network services as the sandbox sees them. Implemented by the services crate.

use crate::{deadline::Deadline, judge::BoxFuture};
use bytes::Bytes;

/// The services of `[services.NAME]`.
pub trait Services: Send + Sync {
    /// Opens a stream to a service, by `deadline` or the service's own time limit, whichever comes first.
    ///
    /// # Errors
    /// See [`ServiceError`]; [`ServiceError::Denied`] when there is no service of that name.
    fn open<'a>(
        &'a self,
        service: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, ServiceError>>;
}

/// A stream to a service. Closed when dropped. Every wait ends by `deadline` or the service's own time limit.
pub trait Connection: Send {
    /// Writes all bytes.
    fn write<'a>(&'a mut self, bytes: &'a [u8], deadline: Deadline) -> BoxFuture<'a, Result<(), ServiceError>>;
    /// Says that nothing more will be written.
    fn finish(&mut self, deadline: Deadline) -> BoxFuture<'_, Result<(), ServiceError>>;
    /// Reads at least one and at most `max` bytes; none at the end of the stream.
    fn read(&mut self, max: usize, deadline: Deadline) -> BoxFuture<'_, Result<Bytes, ServiceError>>;
}

/// Why a service could not be used; `service-error` of `wit/host.wit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Not configured, or not granted to the stage.
    #[error("no such service, or not granted to this stage")]
    Denied,
    /// Could not connect.
    #[error("could not connect: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The peer closed or reset the connection.
    #[error("closed by the peer")]
    Closed,
    /// A limit of the host was passed.
    #[error("limit passed: {0}")]
    Limit(String),
}
