//! What a server costs: memory of all its processes. (Processor time: [`wasmilter_tests::server::processor_time`].)

use anyhow::{Context, Result};
use std::fs;
use wasmilter_tests::server::family;

/// Peak memory in bytes, the sum over the processes that run now.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// Memory in bytes as of now, the sum over the processes that run.
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, which: &str) -> Result<u64> {
    let mut sum = 0;
    for member in family(pid) {
        let Ok(status) = fs::read_to_string(format!("/proc/{member}/status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap_or("0 kB");
        let kilobytes = line.trim().trim_end_matches(" kB").trim().parse::<u64>().context("memory in status")?;
        sum += kilobytes * 1024;
    }
    Ok(sum)
}
