//! Measurements, and what they say: medians over rounds, ratios to the reference of the same round.

use crate::{
    Arguments,
    contestant::{Contestant, Measured},
    footprint::{CONNECTIONS, Footprint, SIZE},
    mail::Kind,
    overload::{self, Overload},
    scaling::{self, Curve},
    spinning::{self, Spinning},
    traffic::Outcome,
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{fmt::Write as _, fs, path::Path, time::Duration};

/// What came of one load, on one line.
pub(crate) fn line(outcome: &Outcome) -> String {
    #[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
    let per_second = outcome.messages as f64 / outcome.elapsed.as_secs_f64().max(1e-9);
    let refused = if outcome.refused == 0 { String::new() } else { format!(", {} not accepted", outcome.refused) };
    format!(
        "{} messages{refused}, {per_second:.0}/s, end p50 / p99 / p99.9 {} µs, whole {} µs",
        outcome.messages,
        triple(percentiles(&outcome.end_of_message)),
        triple(percentiles(&outcome.whole))
    )
}

/// How messages reached the contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Way {
    /// From the load generator, as fast as it goes.
    Milter(Kind),
    /// From the load generator, 4 kB messages at a fixed rate.
    SteadyRate,
    /// From smtp-source through Postfix.
    Postfix,
}

impl Way {
    fn title(self, arguments: &Settings) -> String {
        match self {
            Self::Milter(kind) => format!("{}, as fast as it goes", kind.name()),
            Self::SteadyRate => format!("4 kB plain, {} messages per second", arguments.rate),
            Self::Postfix => "4 kB plain, through Postfix".to_owned(),
        }
    }
}

/// One contestant in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    way: Way,
    round: usize,
    contestant: Contestant,
    messages: u64,
    refused: u64,
    per_second: f64,
    /// CPU time of the server for one message.
    cpu_micros: f64,
    /// Percentiles 50, 99, 99.9 in microseconds.
    end_of_message: [u32; 3],
    whole: [u32; 3],
    idle_memory: u64,
    peak_memory: u64,
}

impl Measurement {
    pub(crate) fn new(
        way: Way,
        round: usize,
        contestant: Contestant,
        measured: &Measured,
        idle_memory: u64,
        peak_memory: u64,
    ) -> Self {
        let outcome = &measured.outcome;
        #[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
        let messages = outcome.messages as f64;
        Self {
            way,
            round,
            contestant,
            messages: outcome.messages,
            refused: outcome.refused,
            per_second: messages / outcome.elapsed.as_secs_f64().max(1e-9),
            cpu_micros: measured.cpu_micros(),
            end_of_message: percentiles(&outcome.end_of_message),
            whole: percentiles(&outcome.whole),
            idle_memory,
            peak_memory,
        }
    }
}

/// What of the arguments belongs to the results.
#[derive(Debug, Clone, Serialize)]
struct Settings {
    rounds: usize,
    connections: usize,
    per_session: usize,
    scale: f64,
    rate: f64,
    cores: usize,
    processor: String,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    settings: Settings,
    measurements: Vec<Measurement>,
    overloads: Vec<Overload>,
    /// Messages per second of Postfix without a milter, by round.
    postfix_alone: Vec<f64>,
    curves: Vec<Curve>,
    spinning: Vec<Spinning>,
    footprint: Option<Footprint>,
}

/// A row of a table: medians over rounds.
struct Row {
    contestant: Contestant,
    cpu: f64,
    ratio: f64,
    ratio_to_rspamd: Option<f64>,
    per_second: f64,
    end_of_message: [u32; 3],
    whole: [u32; 3],
    peak_memory: u64,
    refused: u64,
}

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let settings = Settings {
            rounds: arguments.rounds,
            connections: arguments.connections,
            per_session: arguments.per_session,
            scale: arguments.scale,
            rate: arguments.rate,
            cores: std::thread::available_parallelism().context("number of cores")?.get(),
            processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
        };
        Ok(Self {
            settings,
            measurements: Vec::new(),
            overloads: Vec::new(),
            postfix_alone: Vec::new(),
            curves: Vec::new(),
            spinning: Vec::new(),
            footprint: None,
        })
    }

    pub(crate) fn add(&mut self, measurement: Measurement) {
        eprintln!(
            "{:<34} round {}  {:<32} {:>9.1} µs CPU  {:>8.0}/s  p99 {:>7} µs",
            measurement.way.title(&self.settings),
            measurement.round + 1,
            measurement.contestant.name(),
            measurement.cpu_micros,
            measurement.per_second,
            measurement.whole[1],
        );
        self.measurements.push(measurement);
    }

    pub(crate) fn add_overload(&mut self, overload: Overload) {
        self.overloads.push(overload);
    }

    pub(crate) fn postfix_alone(&mut self, round: usize, messages: u64, elapsed: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
        let per_second = messages as f64 / elapsed.as_secs_f64().max(1e-9);
        eprintln!("Postfix without a milter            round {}  {per_second:>8.0}/s", round + 1);
        self.postfix_alone.push(per_second);
    }

    pub(crate) fn curves(&mut self, curves: Vec<Curve>) {
        self.curves = curves;
    }

    pub(crate) fn add_spinning(&mut self, spinning: Spinning) {
        self.spinning.push(spinning);
    }

    pub(crate) fn footprint(&mut self, footprint: Footprint) {
        self.footprint = Some(footprint);
    }

    /// `bench.json`, `bench.md`, `bench.svg`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (name, content) in [
            ("bench.json", serde_json::to_string_pretty(self)?),
            ("bench.md", self.markdown()),
            ("bench.svg", self.picture()),
        ] {
            fs::write(folder.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        Ok(())
    }

    pub(crate) fn markdown(&self) -> String {
        let Settings { rounds, connections, per_session, cores, processor, .. } = &self.settings;
        let mut text = format!(
            "{connections} connections, {per_session} messages a session, {rounds} rounds in turns, {cores} cores ({processor}). *CPU* is the server's \
             time for one message, user and system, median of the rounds; *× reference* and *× rspamd* are medians of the ratios within a round. \
             *end* is the wait for the verdict after the end of the message, *whole* from when the message was due, both p50 / p99 / p99.9.\n\n"
        );
        for way in self.ways() {
            let _infallible = writeln!(text, "### {}\n", way.title(&self.settings));
            text.push_str("| | CPU µs | × reference | × rspamd | messages/s | end µs | whole µs | peak MB |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
            for row in self.rows(way) {
                let Row {
                    contestant,
                    cpu,
                    ratio,
                    ratio_to_rspamd,
                    per_second,
                    end_of_message,
                    whole,
                    peak_memory,
                    refused,
                } = row;
                let refused = if refused == 0 { String::new() } else { format!(" ({refused} not accepted)") };
                let _infallible = writeln!(
                    text,
                    "| {}{refused} | {cpu:.1} | {ratio:.2} | {} | {per_second:.0} | {} | {} | {} |",
                    contestant.name(),
                    ratio_to_rspamd.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                    latency(way, end_of_message),
                    latency(way, whole),
                    peak_memory >> 20,
                );
            }
            if way == Way::Postfix && !self.postfix_alone.is_empty() {
                let _infallible = writeln!(
                    text,
                    "\nPostfix without a milter: {:.0} messages/s. Through it, latencies are smtp-source's and not measured.",
                    median(self.postfix_alone.clone())
                );
            }
            text.push('\n');
        }
        if !self.overloads.is_empty() {
            text.push_str(&overload::table(&self.overloads));
        }
        if !self.curves.is_empty() {
            text.push_str(&scaling::tables(&self.curves));
        }
        if !self.spinning.is_empty() {
            text.push_str(&spinning::table(&self.spinning));
        }
        if let Some(Footprint { start, idle, under_large_mail, refused }) = self.footprint {
            let refused =
                if refused == 0 { String::new() } else { format!(" ({refused} of the messages not accepted)") };
            let _infallible = writeln!(
                text,
                "### Start and memory of the five plugins\n\n\
                 From the start of the process to the first connection, compiled code in the cache: {start:.0?}. Resident memory: idle {} MB, at most {} MB with {CONNECTIONS} connections \
                 that each send {} MB at the same time{refused}.",
                idle >> 20,
                under_large_mail >> 20,
                SIZE / 1_000_000,
            );
        }
        text
    }

    fn ways(&self) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for measurement in &self.measurements {
            if !ways.contains(&measurement.way) {
                ways.push(measurement.way);
            }
        }
        ways
    }

    fn rows(&self, way: Way) -> Vec<Row> {
        let of = |contestant: Contestant| -> Vec<&Measurement> {
            self.measurements.iter().filter(|one| one.way == way && one.contestant == contestant).collect()
        };
        let ratios = |ours: &[&Measurement], to: Contestant| -> Option<f64> {
            let theirs = of(to);
            let ratios: Vec<f64> = ours
                .iter()
                .filter_map(|our| {
                    let their = theirs.iter().find(|their| their.round == our.round)?;
                    Some(our.cpu_micros / their.cpu_micros.max(1e-9))
                })
                .collect();
            (!ratios.is_empty()).then(|| median(ratios))
        };
        Contestant::ALL
            .into_iter()
            .filter_map(|contestant| {
                let ours = of(contestant);
                if ours.is_empty() {
                    return None;
                }
                let over = |value: fn(&Measurement) -> f64| median(ours.iter().map(|one| value(one)).collect());
                let at = |value: fn(&Measurement) -> [u32; 3]| {
                    [0, 1, 2].map(|which| {
                        let mut values: Vec<u32> =
                            ours.iter().filter_map(|one| value(one).get(which).copied()).collect();
                        values.sort_unstable();
                        values.get(values.len() / 2).copied().unwrap_or(0)
                    })
                };
                Some(Row {
                    contestant,
                    cpu: over(|one| one.cpu_micros),
                    ratio: ratios(&ours, Contestant::LibmilterNoReplies).unwrap_or(f64::NAN),
                    ratio_to_rspamd: ratios(&ours, Contestant::Rspamd),
                    per_second: over(|one| one.per_second),
                    end_of_message: at(|one| one.end_of_message),
                    whole: at(|one| one.whole),
                    peak_memory: ours.iter().map(|one| one.peak_memory).max().unwrap_or(0),
                    refused: ours.iter().map(|one| one.refused).sum(),
                })
            })
            .collect()
    }

    /// CPU time per message as bars, one group per kind of message, on a logarithmic scale.
    fn picture(&self) -> String {
        const LEFT: f64 = 230.0;
        const WIDE: f64 = 520.0;
        const LINE: f64 = 18.0;
        let groups: Vec<(String, Vec<Row>)> =
            self.ways().into_iter().map(|way| (way.title(&self.settings), self.rows(way))).collect();
        let all: Vec<f64> = groups.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.cpu.max(1.0))).collect();
        let most = all.iter().copied().fold(10.0, f64::max).log10().ceil();
        let mut body = String::new();
        let mut y = 30.0;
        for (title, rows) in &groups {
            let _infallible = writeln!(body, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{title}</text>");
            y += LINE * 0.5;
            for row in rows {
                let length = row.cpu.max(1.0).log10() / most * WIDE;
                let colour = if row.contestant.is_wasmilter() { "#2f6f9f" } else { "#9a9a9a" };
                let _infallible = writeln!(
                    body,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.0} µs</text>",
                    LEFT - 6.0,
                    y + LINE - 5.0,
                    row.contestant.name(),
                    LINE - 4.0,
                    LEFT + length + 6.0,
                    y + LINE - 5.0,
                    row.cpu,
                );
                y += LINE;
            }
            y += LINE * 1.5;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"840\" height=\"{y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"8\" y=\"14\">CPU time of the server for one message, logarithmic scale</text>\n{body}</svg>\n"
        )
    }
}

/// Through Postfix nobody has measured it.
fn latency(way: Way, values: [u32; 3]) -> String {
    if way == Way::Postfix { "–".to_owned() } else { triple(values) }
}

pub(crate) fn triple(values: [u32; 3]) -> String {
    values.map(|value| value.to_string()).join(" / ")
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// 50, 99, 99.9.
pub(crate) fn percentiles(values: &[u32]) -> [u32; 3] {
    let mut values = values.to_vec();
    values.sort_unstable();
    [500, 990, 999].map(|permille| {
        let index = (values.len().saturating_sub(1) * permille).div_ceil(1000);
        values.get(index).copied().unwrap_or(0)
    })
}
