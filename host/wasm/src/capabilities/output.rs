//! `output`: content for edits, written in pieces. Where the bytes go is the body store's business.

use crate::{
    bindings::wasmilter::policy::output,
    call::{Blob, Call},
    capabilities::READ_AT_ONCE,
    failure::Stop,
};
use bytes::Bytes;
use wasmilter_message::limit::Limit;

/// Blobs in one call. Each may be an open file.
const BLOBS: usize = 64;

impl output::Host for Call {
    fn create(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        if self.blobs.len() >= BLOBS {
            return Err(Stop::Limit { limit: Limit::Blobs, most: BLOBS as u64 }.into());
        }
        let id = u32::try_from(self.blobs.len())?;
        self.blobs.push(Blob::Writing(self.stage.bodies.start()));
        Ok(id)
    }

    fn append(&mut self, blob: u32, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.charge()?;
        self.write(blob, &bytes)
    }

    async fn append_entity(&mut self, blob: u32, part: u32) -> wasmtime::Result<()> {
        self.known(part).await?;
        if !self.stage.grants.raw {
            return Err(Stop::Ungranted { what: "append-entity", grant: "raw" }.into());
        }
        let length = self.message.entity_len(part);
        let mut at = 0;
        while at < length {
            let piece = self.message.entity_read(part, at, usize::try_from(READ_AT_ONCE)?);
            if piece.is_empty() {
                break;
            }
            self.write(blob, &piece)?;
            at = at.saturating_add(piece.len() as u64);
            // A big part takes its time, which is everybody's on this thread, and has its end.
            if self.deadline.passed() {
                return Err(Stop::Expired.into());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Call {
    fn write(&mut self, blob: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let limit = self.stage.limits.output_bytes;
        self.usage.output_bytes = self.usage.output_bytes.saturating_add(bytes.len() as u64);
        if self.usage.output_bytes > limit {
            return Err(Stop::Limit { limit: Limit::OutputBytes, most: limit }.into());
        }
        match self.blobs.get_mut(usize::try_from(blob)?) {
            Some(Blob::Writing(writer)) => {
                writer.write(bytes).map_err(|error| Stop::Store(format!("keeping a blob: {error}")).into())
            }
            _ => Err(Stop::Misuse(format!("there is no blob {blob}")).into()),
        }
    }

    /// The content of a blob that a decision names.
    ///
    /// # Errors
    /// When there is no such blob, or its bytes could not be kept.
    pub(crate) fn blob(&mut self, id: u32) -> Result<Bytes, Stop> {
        let blob = usize::try_from(id).ok().and_then(|place| self.blobs.get_mut(place));
        let Some(blob) = blob else { return Err(Stop::Misuse(format!("there is no blob {id}"))) };
        if let Blob::Writing(_) = blob
            && let Blob::Writing(writer) = std::mem::replace(blob, Blob::Written(Bytes::new()))
        {
            *blob = match writer.finish() {
                Ok(bytes) => Blob::Written(bytes),
                Err(error) => Blob::Lost(format!("blob {id} could not be kept: {error}")),
            };
        }
        match blob {
            Blob::Written(bytes) => Ok(bytes.clone()),
            Blob::Lost(reason) => Err(Stop::Store(reason.clone())),
            Blob::Writing(_) => Err(Stop::Misuse(format!("blob {id} is still open"))),
        }
    }
}
