//! What came of a run: for machines and for people.

use crate::{
    tally::Tally,
    trouble::Troubles,
    watch::{Footprint, Sample},
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
};

/// Samples that are written; of longer runs every so-manieth.
const SAMPLES: usize = 240;

/// All that is known of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    pub(crate) connections: u32,
    pub(crate) corpus: usize,
    /// Messages a second that were taken at the start, and that were then sent.
    pub(crate) capacity: f64,
    pub(crate) rate: f64,
    /// For how many seconds the client could not keep the rate.
    pub(crate) slipped: f64,
    pub(crate) messages: u64,
    pub(crate) sessions: u64,
    pub(crate) verdicts: BTreeMap<&'static str, u64>,
    pub(crate) courses: BTreeMap<&'static str, u64>,
    pub(crate) failures_by_cause: BTreeMap<String, f64>,
    pub(crate) troubles: Troubles,
    /// Percentiles 50, 99, 99.9 and the longest, in milliseconds.
    pub(crate) milliseconds: [f64; 4],
    pub(crate) footprint: Option<Footprint>,
    /// Before the first connection, and after the last.
    pub(crate) descriptors: [usize; 2],
    pub(crate) samples: Vec<Sample>,
    pub(crate) wrong_in_all: u64,
    pub(crate) wrong: Vec<String>,
}

impl Report {
    /// Whether everything was as it must be.
    pub(crate) fn passed(&self) -> bool {
        self.wrong_in_all == 0
    }

    /// `soak.json` and `soak.txt`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(folder.join("soak.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("soak.txt"), self.to_string())?;
        Ok(())
    }
}

/// As many samples as are worth writing.
pub(crate) fn thinned(samples: &[Sample]) -> Vec<Sample> {
    samples.iter().copied().step_by(samples.len().div_ceil(SAMPLES).max(1)).collect()
}

/// Percentiles 50, 99, 99.9 and the longest, in milliseconds.
pub(crate) fn milliseconds(tally: &Tally) -> [f64; 4] {
    let mut sorted = tally.took.clone();
    sorted.sort_unstable();
    let at = |per_mille: usize| {
        let index = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
        f64::from(sorted.get(index).copied().unwrap_or(0)) / 1000.0
    };
    [at(500), at(990), at(999), at(1000)]
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        writeln!(formatter, "soak {verdict}: seed {}, {:.0} minutes", self.seed, self.minutes)?;
        writeln!(
            formatter,
            "{} messages answered in {} sessions, {} connections at once, {} different messages",
            self.messages, self.sessions, self.connections, self.corpus
        )?;
        writeln!(
            formatter,
            "{:.0} a second of the {:.0} that were taken at the start; {:.0} s behind",
            self.rate, self.capacity, self.slipped
        )?;
        let listed = |counts: &BTreeMap<&str, u64>| {
            counts.iter().fold(String::new(), |mut all, (name, count)| {
                let _infallible = write!(all, "{}{name} {count}", if all.is_empty() { "" } else { ", " }).is_ok();
                all
            })
        };
        writeln!(formatter, "verdicts: {}", listed(&self.verdicts))?;
        writeln!(formatter, "clients: {}", listed(&self.courses))?;
        let causes: Vec<String> =
            self.failures_by_cause.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        writeln!(formatter, "stages failed: {}", causes.join(", "))?;
        let Troubles { scanner_killed, scanner_frozen, reloads } = self.troubles;
        writeln!(formatter, "clamd killed {scanner_killed} times, frozen {scanner_frozen} times; {reloads} reloads")?;
        let [median, p99, p999, longest] = self.milliseconds;
        writeln!(
            formatter,
            "an undisturbed message, in ms: median {median:.1}, p99 {p99:.1}, p99.9 {p999:.1}, longest {longest:.1}"
        )?;
        if let Some(Footprint { memory, descriptors }) = &self.footprint {
            let mib = 1_048_576.0;
            writeln!(
                formatter,
                "memory after warming up: {:.1} MiB, at the end {:.1}, highest {:.1}; {:+.3} MiB a minute",
                memory.first / mib,
                memory.last / mib,
                memory.highest / mib,
                memory.slope_per_minute / mib
            )?;
            let [before, after] = self.descriptors;
            writeln!(
                formatter,
                "descriptors: {} to {}, highest {}; {before} before the first connection, {after} after the last",
                descriptors.first, descriptors.last, descriptors.highest
            )?;
        }
        for wrong in &self.wrong {
            writeln!(formatter, "WRONG {wrong}")?;
        }
        let more = self.wrong_in_all.saturating_sub(self.wrong.len() as u64);
        if more > 0 {
            writeln!(formatter, "and {more} more")?;
        }
        Ok(())
    }
}
