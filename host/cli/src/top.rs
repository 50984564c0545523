//! `wasmilter top`

mod sample;

use crate::{
    admin::{self, Admin},
    output,
};
use anyhow::{Result, bail};
use sample::{Between, Sample};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
    net::SocketAddr,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Show what a running daemon is doing now, stage by stage.
///
/// Reads the daemon's metrics and shows what happened between two looks: messages a second and their verdicts, and of each stage its
/// calls a second, how long half and 99 in 100 of them took, how many run and wait, how much of a processor it uses, its failures a second,
/// and whether its breaker pauses it. Times are estimates from histograms, as Grafana shows them. Ends with Ctrl-C.
///
/// When its output is no terminal it looks twice, prints one table and ends.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter top
  wasmilter top --every 10s --admin 127.0.0.1:9891
  wasmilter top --once
  wasmilter top --once --json | jq '.stages[] | {name, p99_seconds}'

Exit codes: 0 done; 1 the daemon can not be reached; 2 the command line was wrong.")]
pub(crate) struct Top {
    #[command(flatten)]
    daemon: Admin,
    /// Time between two looks, such as 500ms, 2s, 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = every)]
    every: Duration,
    /// Print one table and end
    #[arg(long)]
    once: bool,
    /// Print JSON, one object for each look
    #[arg(long)]
    json: bool,
}

const ANSWER: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);
/// To the upper left corner; to the end of a line; to the end of the screen.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K\n";
const REST_OF_SCREEN: &str = "\x1b[J";
const CLEAR: &str = "\x1b[2J";

fn every(text: &str) -> Result<Duration, String> {
    let time = wasmilter_app::config::units::duration(text)?;
    if (SHORTEST..=LONGEST).contains(&time) { Ok(time) } else { Err(format!("must be {SHORTEST:?} to {LONGEST:?}")) }
}

impl Top {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let address = self.daemon.address()?;
        let screen = stdout().is_terminal() && !self.once && !self.json;
        let once = self.once || !(stdout().is_terminal() || self.json);
        let mut before = look(address)?;
        if screen {
            output::print(CLEAR)?;
        }
        loop {
            thread::sleep(self.every);
            let now = look(address)?;
            let view = View::new(&Between { before: &before, now: &now });
            let shown = match (self.json, screen) {
                (true, _) => format!("{}\n", view.json()),
                (false, true) => {
                    format!("{HOME}{}{REST_OF_SCREEN}", view.table(address).replace('\n', REST_OF_LINE))
                }
                (false, false) => view.table(address),
            };
            if !output::print_whole(&shown)? || once {
                return Ok(ExitCode::SUCCESS);
            }
            before = now;
        }
    }
}

fn look(address: SocketAddr) -> Result<Sample> {
    let answer = admin::ask(address, "GET", "/metrics", ANSWER)?;
    if answer.status != 200 {
        bail!("{address} answers {}: is it the admin address?", answer.status);
    }
    Ok(Sample::parse(&answer.text()?, Instant::now()))
}

/// What happened between two looks.
struct View {
    seconds: f64,
    version: String,
    uptime: Duration,
    memory: f64,
    connections: f64,
    reload_good: bool,
    rate: f64,
    verdicts: Vec<(String, f64)>,
    hooks: f64,
    sent_away: f64,
    median: Option<f64>,
    p99: Option<f64>,
    in_flight: f64,
    in_flight_limit: f64,
    waiting: f64,
    stages: Vec<Stage>,
}

struct Stage {
    name: String,
    plugin: String,
    rate: f64,
    median: Option<f64>,
    p99: Option<f64>,
    in_flight: f64,
    slots: f64,
    waiting: f64,
    processors: f64,
    memory: f64,
    failures: f64,
    /// The most frequent one.
    cause: Option<String>,
    breaker: &'static str,
    shadow: bool,
}

const MESSAGES: &str = "wasmilter_messages_total";
const MESSAGE_TIME: &str = "wasmilter_message_duration_seconds";
const STAGE_TIME: &str = "wasmilter_stage_duration_seconds";
const STAGE_FAILURES: &str = "wasmilter_stage_failures_total";

impl View {
    fn new(between: &Between<'_>) -> Self {
        let now = between.now;
        let started =
            UNIX_EPOCH.checked_add(Duration::from_secs_f64(now.sum("process_start_time_seconds", &[]).max(0.0)));
        let verdicts = now.values(MESSAGES, "verdict", &[]).into_iter();
        let stages = now.values("wasmilter_stage_info", "stage", &[]).into_iter();
        Self {
            seconds: between.seconds(),
            version: now.values("wasmilter_build_info", "version", &[]).first().copied().unwrap_or_default().to_owned(),
            uptime: started.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default(),
            memory: now.sum("process_resident_memory_bytes", &[]),
            connections: now.sum("wasmilter_connections", &[]),
            reload_good: now.sum("wasmilter_config_last_reload_successful", &[]) > 0.0,
            rate: between.rate(MESSAGES, &[]),
            verdicts: verdicts.map(|name| (name.to_owned(), between.rate(MESSAGES, &[("verdict", name)]))).collect(),
            hooks: between.rate("wasmilter_hooks_total", &[]),
            sent_away: between.rate("wasmilter_host_failures_total", &[]),
            median: between.quantile(0.5, MESSAGE_TIME, &[]),
            p99: between.quantile(0.99, MESSAGE_TIME, &[]),
            in_flight: now.sum("wasmilter_messages_in_flight", &[]),
            in_flight_limit: now.sum("wasmilter_messages_in_flight_limit", &[]),
            waiting: now.sum("wasmilter_messages_waiting", &[]),
            stages: stages.map(|name| Stage::new(name, between)).collect(),
        }
    }

    fn table(&self, address: SocketAddr) -> String {
        let mut text = String::new();
        let reload = if self.reload_good { "" } else { "   LAST RELOAD REFUSED" };
        let lines = [
            format!(
                "wasmilter {} at {address}   up {}   memory {}   connections {}{reload}",
                self.version,
                long_time(self.uptime),
                bytes(self.memory),
                self.connections
            ),
            format!(
                "messages {}/s   p50 {}   p99 {}   in flight {} of {}   waiting {}   hooks {}/s   sent away {}/s",
                rate(self.rate),
                time(self.median),
                time(self.p99),
                self.in_flight,
                self.in_flight_limit,
                self.waiting,
                rate(self.hooks),
                rate(self.sent_away),
            ),
            format!(
                "verdicts {}",
                self.verdicts
                    .iter()
                    .map(|(name, per)| format!("{name} {}/s", rate(*per)))
                    .collect::<Vec<_>>()
                    .join("   ")
            ),
            String::new(),
        ];
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        let longest = self.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0).max("STAGE".len());
        // Writing to a string can not fail.
        let _written = writeln!(
            text,
            "{:<longest$} {:>8} {:>8} {:>8} {:>9} {:>7} {:>6} {:>8} {:>8}  STATE",
            "STAGE", "CALLS/S", "P50", "P99", "IN FLIGHT", "WAITING", "CPU", "MEMORY", "FAILS/S"
        );
        for stage in &self.stages {
            let _written = writeln!(
                text,
                "{:<longest$} {:>8} {:>8} {:>8} {:>9} {:>7} {:>6} {:>8} {:>8}  {}",
                stage.name,
                rate(stage.rate),
                time(stage.median),
                time(stage.p99),
                format!("{}/{}", stage.in_flight, stage.slots),
                stage.waiting,
                format!("{:.0}%", stage.processors * 100.0),
                bytes(stage.memory),
                rate(stage.failures),
                stage.state(),
            );
        }
        text
    }

    fn json(&self) -> Value {
        let verdicts: serde_json::Map<String, Value> =
            self.verdicts.iter().map(|(name, per)| (name.clone(), json!(per))).collect();
        json!({
            "seconds": self.seconds,
            "version": self.version,
            "uptime_seconds": self.uptime.as_secs(),
            "resident_memory_bytes": self.memory,
            "connections": self.connections,
            "last_reload_successful": self.reload_good,
            "messages_per_second": self.rate,
            "verdicts_per_second": verdicts,
            "hooks_per_second": self.hooks,
            "sent_away_per_second": self.sent_away,
            "p50_seconds": self.median,
            "p99_seconds": self.p99,
            "in_flight": self.in_flight,
            "in_flight_limit": self.in_flight_limit,
            "waiting": self.waiting,
            "stages": self.stages.iter().map(Stage::json).collect::<Vec<_>>(),
        })
    }
}

impl Stage {
    fn new(name: &str, between: &Between<'_>) -> Self {
        let now = between.now;
        let stage = [("stage", name)];
        let info = |label| {
            let values = now.values("wasmilter_stage_info", label, &stage);
            values.first().copied().unwrap_or_default().to_owned()
        };
        let causes = now.values(STAGE_FAILURES, "cause", &stage).into_iter();
        let causes = causes.map(|cause| (cause, between.rate(STAGE_FAILURES, &[("stage", name), ("cause", cause)])));
        let worst = causes.filter(|(_, per)| *per > 0.0).max_by(|(_, one), (_, other)| one.total_cmp(other));
        let breaker = now.sum("wasmilter_stage_breaker_state", &stage);
        Self {
            name: name.to_owned(),
            plugin: info("version"),
            rate: between.rate(&format!("{STAGE_TIME}_count"), &stage),
            median: between.quantile(0.5, STAGE_TIME, &stage),
            p99: between.quantile(0.99, STAGE_TIME, &stage),
            in_flight: now.sum("wasmilter_stage_in_flight", &stage),
            slots: now.sum("wasmilter_stage_slots", &stage),
            waiting: now.sum("wasmilter_stage_waiting", &stage),
            processors: between.rate("wasmilter_stage_cpu_seconds_total", &stage),
            memory: now.sum("wasmilter_stage_memory_peak_bytes", &stage),
            failures: between.rate(STAGE_FAILURES, &stage),
            cause: worst.map(|(cause, _)| cause.to_owned()),
            breaker: if breaker >= 2.0 {
                "half_open"
            } else if breaker >= 1.0 {
                "open"
            } else {
                "closed"
            },
            shadow: info("mode") == "shadow",
        }
    }

    fn state(&self) -> String {
        let mut words = Vec::new();
        match self.breaker {
            "open" => words.push("PAUSED".to_owned()),
            "half_open" => words.push("on trial".to_owned()),
            _ => {}
        }
        words.extend(self.cause.as_ref().map(|cause| format!("fails: {cause}")));
        if self.shadow {
            words.push("shadow".to_owned());
        }
        if words.is_empty() { "ok".to_owned() } else { words.join(", ") }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "plugin": self.plugin,
            "calls_per_second": self.rate,
            "p50_seconds": self.median,
            "p99_seconds": self.p99,
            "in_flight": self.in_flight,
            "slots": self.slots,
            "waiting": self.waiting,
            "processors": self.processors,
            "memory_peak_bytes": self.memory,
            "failures_per_second": self.failures,
            "most_frequent_failure": self.cause,
            "breaker": self.breaker,
            "shadow": self.shadow,
        })
    }
}

fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0}us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1}ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1}s"),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.1}GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.0}MB", bytes / 1e6),
        bytes => format!("{:.0}kB", bytes / 1e3),
    }
}

fn long_time(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0 => format!("{}s", time.as_secs()),
        1..60 => format!("{minutes}m"),
        60..1440 => format!("{}h{:02}m", minutes / 60, minutes % 60),
        _ => format!("{}d{:02}h", minutes / 1440, minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_shows_its_rate_its_failures_and_its_breaker() {
        let text = |calls: u32, failures: u32| {
            format!(
                "wasmilter_build_info{{version=\"0.1.0\"}} 1\n\
                 wasmilter_stage_info{{mode=\"enforce\",plugin=\"virus\",stage=\"scan\",started_from=\"snapshot\",version=\"virus 0.1.0\"}} 1\n\
                 wasmilter_stage_duration_seconds_count{{stage=\"scan\"}} {calls}\n\
                 wasmilter_stage_cpu_seconds_total{{stage=\"scan\"}} {calls}e-3\n\
                 wasmilter_stage_failures_total{{cause=\"service\",stage=\"scan\"}} {failures}\n\
                 wasmilter_stage_failures_total{{cause=\"trap\",stage=\"scan\"}} 0\n\
                 wasmilter_stage_breaker_state{{stage=\"scan\"}} 1\n"
            )
        };
        let start = Instant::now();
        let before = Sample::parse(&text(100, 10), start);
        let now = Sample::parse(&text(1100, 20), start + Duration::from_secs(2));
        let view = View::new(&Between { before: &before, now: &now });
        let table = view.table("127.0.0.1:9891".parse().unwrap());
        let row = table.lines().find(|line| line.starts_with("scan")).unwrap();
        for word in ["500", "50%", "5.0", "PAUSED, fails: service"] {
            assert!(row.contains(word), "{word} is not in {row}");
        }
        assert_eq!(view.json()["stages"][0]["breaker"], "open");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [time(None), time(Some(0.000_25)), time(Some(0.0123)), time(Some(2.0))],
            ["-", "250us", "12.3ms", "2.0s"]
        );
        assert_eq!([bytes(2e3), bytes(3.4e7), bytes(2.25e9)], ["2kB", "34MB", "2.2GB"]);
        assert_eq!(long_time(Duration::from_secs(90_061)), "1d01h");
    }
}
