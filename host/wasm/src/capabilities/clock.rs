//! `clock`: the time of day. Linked only with the grant `clock`.

use crate::{bindings::wasmilter::policy::clock, call::Call};
use std::time::SystemTime;

impl clock::Host for Call {
    fn now(&mut self) -> wasmtime::Result<f64> {
        self.charge()?;
        Ok((self.stage.outside.clock)().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
    }
}
