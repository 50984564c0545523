//! `raw`: the message as bytes. Linked only with the grant `raw`.

use crate::{bindings::wasmilter::policy::raw, call::Call, capabilities::READ_AT_ONCE};

impl raw::Host for Call {
    fn size(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        Ok(u32::try_from(self.message.raw_size()).unwrap_or(u32::MAX))
    }

    fn read(&mut self, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        Ok(self.message.raw_read(u64::from(offset), usize::try_from(length.min(READ_AT_ONCE))?))
    }
}
