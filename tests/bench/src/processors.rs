//! Processors of their own for a server and for the load generator, where one may not be slowed down by what the other takes.

use anyhow::{Context, Result, bail};
use std::{fs, process::Command};

/// The processors of this machine in two halves. While it lives, this process has the second.
pub(crate) struct Halves {
    all: String,
}

impl Halves {
    /// Gives what `start` starts the first half for good, and the rest of this program the second until the halves are dropped.
    pub(crate) fn start<T>(start: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let all = allowed()?;
        let (server, generator) = all.split_at(all.len() / 2);
        if server.is_empty() {
            bail!("the server and the load generator need a processor each, this machine has one");
        }
        let halves = Self { all: list(&all) };
        // What is started inherits where this process may run.
        run_on(&list(server))?;
        let started = start()?;
        run_on(&list(generator))?;
        Ok((halves, started))
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        if let Err(error) = run_on(&self.all) {
            eprintln!("the load generator keeps half of the processors: {error:#}");
        }
    }
}

/// Numbers of the processors that this process may run on.
fn allowed() -> Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    numbers(allowed.context("no Cpus_allowed_list in /proc/self/status")?.trim())
}

/// `0-2,5` is 0, 1, 2 and 5.
fn numbers(list: &str) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
    }
    Ok(numbers)
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Has this process, and what it starts from now on, run on these processors.
fn run_on(list: &str) -> Result<()> {
    let mut taskset = Command::new("taskset");
    let output =
        taskset.args(["--all-tasks", "--cpu-list", "--pid", list]).arg(std::process::id().to_string()).output();
    let output = output.context("starting taskset (of util-linux)")?;
    if !output.status.success() {
        bail!("taskset to processors {list}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0-2,5").expect("a list"), [0, 1, 2, 5]);
        assert_eq!(numbers("7").expect("a list"), [7]);
        assert!(numbers("").is_err() && numbers("0-x").is_err());
    }
}
