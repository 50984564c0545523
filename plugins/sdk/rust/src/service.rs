//! A stream of bytes to a network service.

use crate::{
    Failure, ServiceError,
    source::{self, Source},
};
use std::io;

/// A stream to a service that the administrator named in `[services.NAME]` and granted to the stage. Time limits and
/// the number of connections are the host's. Closed when dropped.
///
/// Every write is sent at once: gather small pieces (`std::io::BufWriter`, or one `Vec`).
pub struct Service<'m> {
    source: &'m Source,
    connection: u32,
}

impl<'m> Service<'m> {
    pub(crate) fn open(source: &'m Source, name: &str) -> Result<Self, ServiceError> {
        let connection = source.open(name)?;
        Ok(Self { source, connection })
    }

    /// Says that nothing more will be written (TCP FIN); reading goes on.
    ///
    /// # Errors
    /// When the stream is broken.
    pub fn finish(&mut self) -> Result<(), ServiceError> {
        self.source.finish(self.connection)
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.source.close(self.connection);
    }
}

impl io::Read for Service<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX).min(source::LARGEST_READ);
        if max == 0 {
            return Ok(0);
        }
        let bytes = self.source.receive(self.connection, max).map_err(io::Error::from)?;
        Ok(crate::message::copy_into(buffer, &bytes))
    }
}

impl io::Write for Service<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.source.send(self.connection, bytes).map_err(io::Error::from)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<ServiceError> for io::Error {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Denied => Self::new(io::ErrorKind::PermissionDenied, "no such service, or not granted"),
            ServiceError::Unreachable(why) => Self::new(io::ErrorKind::ConnectionRefused, why),
            ServiceError::TimedOut => Self::new(io::ErrorKind::TimedOut, "no answer in time"),
            ServiceError::Closed => Self::new(io::ErrorKind::ConnectionReset, "the connection was closed"),
            ServiceError::Limit(which) => Self::new(io::ErrorKind::QuotaExceeded, which),
        }
    }
}

/// A failure of the kind `service`. To name the service, make one with [`Failure::service`].
impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::service(format!("service: {}", io::Error::from(error)))
    }
}

/// A failure of the kind `service`: streams of services are what a plugin reads and writes.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::service(format!("service: {error}"))
    }
}
