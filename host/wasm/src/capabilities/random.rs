//! `random`: the system's randomness. Linked only with the grant `random`.

use crate::{bindings::wasmilter::policy::random, call::Call, failure::Stop};
use wasmilter_message::limit::Limit;

const AT_ONCE: u32 = 4096;

impl random::Host for Call {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        if length > AT_ONCE {
            return Err(Stop::Limit { limit: Limit::RandomBytes, most: u64::from(AT_ONCE) }.into());
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        getrandom::fill(&mut bytes).map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))?;
        Ok(bytes)
    }
}
