//! Where the bytes of a body live.
//!
//! A body is a [`Bytes`], whether it lies in memory or in a mapped file; who reads it does not need to know. Who writes
//! one asks a [`BodyStore`], which decides where it goes.

use bytes::{Bytes, BytesMut};

/// Makes room for bodies. The spool implements it with memory for small and files for large ones.
pub trait BodyStore: Send + Sync {
    /// Starts a body.
    fn start(&self) -> Box<dyn BodyWriter>;
}

/// A body that is being written.
pub trait BodyWriter: Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// When the bytes can not be kept: disk full, or a limit of the store.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// How much has been written, in bytes.
    fn len(&self) -> u64;

    /// Whether nothing has been written.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the body and gives its bytes.
    ///
    /// # Errors
    /// When the bytes can not be kept.
    fn finish(self: Box<Self>) -> std::io::Result<Bytes>;
}

/// Keeps every body in memory. For tests, tools and whatever has a bound already.
#[derive(Debug, Clone, Copy, Default)]
pub struct InMemory;

impl BodyStore for InMemory {
    fn start(&self) -> Box<dyn BodyWriter> {
        Box::new(MemoryWriter(BytesMut::new()))
    }
}

struct MemoryWriter(BytesMut);

impl BodyWriter for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn finish(self: Box<Self>) -> std::io::Result<Bytes> {
        Ok(self.0.freeze())
    }
}
