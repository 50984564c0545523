//! The services that the administrator named in `[services.NAME]`.
//!
//! One connection lives like this: a slot of the service's own limit → connect → writes and reads of the plugin, each within
//! the service's time limit and the caller's deadline → dropped, which closes the socket and frees the slot. After any
//! failure the socket is closed at once and every later call says `Closed`: what was sent or read half is of no use.

use crate::{
    address::ServiceAddress,
    metrics::{CAUSES, ServiceMetrics, cause},
};
use bytes::{Bytes, BytesMut};
use prometheus::{IntCounter, IntGauge, Registry};
use std::{collections::BTreeMap, future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};
use wasmilter_message::{
    deadline::Deadline,
    judge::BoxFuture,
    service::{Connection, ServiceError, Services},
};

/// One `[services.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Where it listens.
    pub address: ServiceAddress,
    /// Bound of every single wait: for a slot, for the connection, for a write, for a read. The stage's deadline
    /// bounds their sum.
    pub timeout: Duration,
    /// Connections at one time; who wants one more waits for a slot.
    pub connections: usize,
}

/// No call reads more than that at once, in bytes; `wit/host.wit` promises it.
const MOST_READ: usize = 65_536;

/// All named services.
pub struct NamedServices(BTreeMap<String, Arc<Service>>);

struct Service {
    name: String,
    settings: ServiceSettings,
    slots: Arc<Semaphore>,
    connections: IntGauge,
    opened: IntCounter,
    metrics: Arc<ServiceMetrics>,
}

impl NamedServices {
    /// The services, with counters newly registered. To build services anew for a reload, use
    /// [`NamedServices::with_metrics`].
    ///
    /// # Errors
    /// When the registry has the counters already.
    pub fn new(settings: BTreeMap<String, ServiceSettings>, registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self::with_metrics(settings, &ServiceMetrics::register(registry)?))
    }

    /// The services, counted by `metrics`.
    #[must_use]
    pub fn with_metrics(settings: BTreeMap<String, ServiceSettings>, metrics: &Arc<ServiceMetrics>) -> Self {
        let service = |(name, settings): (String, ServiceSettings)| {
            for cause in CAUSES {
                // Makes the series exist from the start, at 0.
                metrics.failures.with_label_values(&[name.as_str(), cause]);
            }
            let service = Service {
                slots: Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))),
                connections: metrics.connections.with_label_values(&[&name]),
                opened: metrics.opened.with_label_values(&[&name]),
                metrics: Arc::clone(metrics),
                name: name.clone(),
                settings,
            };
            (name, Arc::new(service))
        };
        Self(settings.into_iter().map(service).collect())
    }
}

impl Services for NamedServices {
    fn open<'a>(
        &'a self,
        service: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, ServiceError>> {
        Box::pin(async move {
            let service = self.0.get(service).ok_or(ServiceError::Denied)?;
            service.open(deadline).await.inspect_err(|error| service.count(error))
        })
    }
}

impl Service {
    async fn open(self: &Arc<Self>, deadline: Deadline) -> Result<Box<dyn Connection>, ServiceError> {
        let slot = self.slot(deadline).await?;
        let connect = self.connect();
        let stream = self.bounded(deadline, connect).await?.map_err(|error| {
            ServiceError::Unreachable(format!("service {} at {}: {error}", self.name, self.settings.address))
        })?;
        self.opened.inc();
        self.connections.inc();
        let held = Held { connections: self.connections.clone(), _slot: slot };
        Ok(Box::new(Conversation { service: Arc::clone(self), open: Some((stream, held)) }))
    }

    async fn slot(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, ServiceError> {
        let all_used = || ServiceError::Limit(format!("all {} connections in use", self.settings.connections));
        match self.bounded(deadline, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            // Nobody closes the semaphore; if somebody did, there would be no slots.
            Ok(Err(_)) | Err(_) => Err(all_used()),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.settings.address {
            ServiceAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            ServiceAddress::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // Requests are small and answered one by one: waiting to fill a segment only adds delay.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Waits for `what` until the deadline or the service's time limit, whichever comes first.
    async fn bounded<T>(&self, deadline: Deadline, what: impl Future<Output = T>) -> Result<T, ServiceError> {
        let until = deadline.within(self.settings.timeout).instant();
        timeout_at(until.into(), what).await.map_err(|_| ServiceError::TimedOut)
    }

    fn count(&self, error: &ServiceError) {
        if let Some(cause) = cause(error) {
            self.metrics.failures.with_label_values(&[self.name.as_str(), cause]).inc();
            tracing::debug!(service = self.name, cause, %error, "service failed");
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = Box<dyn Stream>;

/// A connection as the sandbox holds it.
struct Conversation {
    service: Arc<Service>,
    /// None after a failure.
    open: Option<(Socket, Held)>,
}

/// What an open socket occupies.
struct Held {
    connections: IntGauge,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

impl Connection for Conversation {
    fn write<'a>(&'a mut self, bytes: &'a [u8], deadline: Deadline) -> BoxFuture<'a, Result<(), ServiceError>> {
        Box::pin(self.within(deadline, async move |mut socket: Socket| {
            socket.write_all(bytes).await?;
            Ok((socket, ()))
        }))
    }

    fn finish(&mut self, deadline: Deadline) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(self.within(deadline, async move |mut socket: Socket| {
            socket.shutdown().await?;
            Ok((socket, ()))
        }))
    }

    fn read(&mut self, max: usize, deadline: Deadline) -> BoxFuture<'_, Result<Bytes, ServiceError>> {
        Box::pin(self.within(deadline, async move |mut socket: Socket| {
            let max = max.clamp(1, MOST_READ);
            let mut bytes = BytesMut::with_capacity(max);
            // A buffer may have more room than was asked for, and `read_buf` fills all of it.
            (&mut socket).take(max as u64).read_buf(&mut bytes).await?;
            Ok((socket, bytes.freeze()))
        }))
    }
}

impl Conversation {
    /// One operation on the socket. While it runs the socket is out of `self`: whether it fails, is too late or is
    /// dropped half way, the socket is closed by that.
    async fn within<T, F>(&mut self, deadline: Deadline, operation: impl FnOnce(Socket) -> F) -> Result<T, ServiceError>
    where
        F: Future<Output = io::Result<(Socket, T)>>,
    {
        let (socket, held) = self.open.take().ok_or(ServiceError::Closed)?;
        let result = match self.service.bounded(deadline, operation(socket)).await {
            Ok(Ok((socket, value))) => {
                self.open = Some((socket, held));
                Ok(value)
            }
            // Reset, broken pipe, aborted: whatever the system calls it, the peer is not there any more.
            Ok(Err(_)) => Err(ServiceError::Closed),
            Err(too_late) => Err(too_late),
        };
        result.inspect_err(|error| self.service.count(error))
    }
}

#[cfg(test)]
mod tests;
