//! `services`: streams to the network services that the stage was granted. Address, pooling and time limits are those of
//! the implementation behind [`Services`](wasmilter_message::service::Services); counting is done here.

use crate::{bindings::wasmilter::policy::services, call::Call, capabilities::READ_AT_ONCE};
use services::ServiceError;
use wasmilter_message::{limit::Limit, service, turn::outside};

impl services::Host for Call {
    async fn open(&mut self, service: String) -> wasmtime::Result<Result<u32, ServiceError>> {
        self.charge()?;
        if !self.stage.grants.services.contains(&service) {
            return Ok(Err(ServiceError::Denied));
        }
        let limit = self.stage.limits.open_streams;
        if self.streams.len() >= limit {
            self.refuse(Limit::OpenStreams);
            return Ok(Err(ServiceError::Limit(format!("{limit} open streams"))));
        }
        let services = std::sync::Arc::clone(&self.stage.outside.services);
        match outside(services.open(&service, self.deadline)).await {
            Ok(connection) => {
                self.usage.streams_opened = self.usage.streams_opened.saturating_add(1);
                let id = self.usage.streams_opened;
                self.streams.insert(id, connection);
                Ok(Ok(id))
            }
            Err(error) => Ok(Err(told(error))),
        }
    }

    async fn write(&mut self, connection: u32, bytes: Vec<u8>) -> wasmtime::Result<Result<(), ServiceError>> {
        self.charge()?;
        if let Err(error) = self.carry(bytes.len()) {
            return Ok(Err(error));
        }
        let deadline = self.deadline;
        let Some(stream) = self.streams.get_mut(&connection) else { return Ok(Err(ServiceError::Closed)) };
        Ok(outside(stream.write(&bytes, deadline)).await.map_err(told))
    }

    async fn finish(&mut self, connection: u32) -> wasmtime::Result<Result<(), ServiceError>> {
        self.charge()?;
        let deadline = self.deadline;
        let Some(stream) = self.streams.get_mut(&connection) else { return Ok(Err(ServiceError::Closed)) };
        Ok(outside(stream.finish(deadline)).await.map_err(told))
    }

    async fn read(&mut self, connection: u32, max: u32) -> wasmtime::Result<Result<Vec<u8>, ServiceError>> {
        self.charge()?;
        let max = usize::try_from(max.min(READ_AT_ONCE))?;
        let deadline = self.deadline;
        let Some(stream) = self.streams.get_mut(&connection) else { return Ok(Err(ServiceError::Closed)) };
        if max == 0 {
            return Ok(Ok(Vec::new()));
        }
        match outside(stream.read(max, deadline)).await {
            Ok(bytes) => Ok(self.carry(bytes.len()).map(|()| bytes.to_vec())),
            Err(error) => Ok(Err(told(error))),
        }
    }

    async fn close(&mut self, connection: u32) -> wasmtime::Result<()> {
        self.charge()?;
        self.streams.remove(&connection);
        Ok(())
    }
}

impl Call {
    fn carry(&mut self, bytes: usize) -> Result<(), ServiceError> {
        let limit = self.stage.limits.service_bytes;
        self.usage.service_bytes = self.usage.service_bytes.saturating_add(bytes as u64);
        if self.usage.service_bytes > limit {
            self.refuse(Limit::ServiceBytes);
            return Err(ServiceError::Limit(format!("{limit} bytes to and from services")));
        }
        Ok(())
    }
}

fn told(error: service::ServiceError) -> ServiceError {
    match error {
        service::ServiceError::Denied => ServiceError::Denied,
        service::ServiceError::Unreachable(reason) => ServiceError::Unreachable(reason),
        service::ServiceError::TimedOut => ServiceError::TimedOut,
        service::ServiceError::Closed => ServiceError::Closed,
        service::ServiceError::Limit(what) => ServiceError::Limit(what),
    }
}
