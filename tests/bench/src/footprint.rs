//! What Wasmilter takes besides processor time: how long a start takes, and memory, idle and under large messages.

use crate::{
    contestant::{Contestant, Running},
    mail::Mail,
    traffic::{self, Load},
};
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The five bundled plugins, loaded.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Footprint {
    /// From the start of the process to the first connection taken, code taken from the cache; the least of the rounds, as whatever
    /// else the machine does only adds to it.
    pub(crate) start: Duration,
    /// Resident after the start, in bytes.
    pub(crate) idle: u64,
    /// Resident at most, with `CONNECTIONS` that each send `SIZE` at the same time.
    pub(crate) under_large_mail: u64,
    /// Of those messages, the ones that were not accepted.
    pub(crate) refused: u64,
}

pub(crate) const CONNECTIONS: usize = 200;
pub(crate) const SIZE: usize = 20_000_000;

/// Starts and loads it.
pub(crate) fn measure(rounds: usize) -> Result<Footprint> {
    // Whatever is not in the cache is now.
    drop(Running::start(Contestant::Bundled)?);
    let mut start = Duration::MAX;
    for _ in 0..rounds.max(3) {
        let began = Instant::now();
        let running = Running::start(Contestant::Bundled)?;
        start = start.min(began.elapsed());
        drop(running);
    }
    let running = Running::start(Contestant::Bundled)?;
    let idle = running.resident_memory()?;
    let load = Load { connections: CONNECTIONS, per_session: 1, messages: CONNECTIONS as u64, rate: None };
    let outcome = traffic::send(&running.socket, &[Mail::large(SIZE)], &load)?;
    Ok(Footprint { start, idle, under_large_mail: running.peak_memory()?, refused: outcome.refused })
}
