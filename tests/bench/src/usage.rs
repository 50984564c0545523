//! What a server costs: CPU time and memory of all its processes.

use anyhow::{Context, Result};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use std::{collections::BTreeSet, fs, time::Duration};

/// CPU time that a process and everything it started have used so far, children that have ended included.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let ticks_per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?
        .and_then(|ticks| u32::try_from(ticks).ok())
        .unwrap_or(100);
    let mut sum = Duration::ZERO;
    let mut ticks = 0_u64;
    for member in family(pid) {
        // The process's own clock has nanoseconds, and the threads that have ended.
        let member_id = Pid::from_raw(i32::try_from(member)?);
        if let Ok(time) = clock_getcpuclockid(member_id).and_then(clock_gettime) {
            sum += Duration::from(time);
        }
        // cutime, cstime: fields 16 and 17 (proc_pid_stat(5)), in ticks.
        ticks += stat(member).iter().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    #[allow(clippy::cast_precision_loss, reason = "ticks are far below 2⁵²")]
    let ended = Duration::from_secs_f64(ticks as f64 / f64::from(ticks_per_second));
    Ok(sum + ended)
}

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

/// The process and all that descend from it.
fn family(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|process| Some((process, stat(process).get(1)?.parse().ok()?)))
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(process, parent)| family.contains(parent) && !family.contains(process))
            .map(|(process, _)| *process)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

/// The fields of /proc/PID/stat that follow the name, which may have spaces: state, parent, …
fn stat(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}
