//! `cargo xtask bench`: Wasmilter beside the filters that an administrator would pick instead, measured in one run, in turns.
//!
//! Machines are noisy: what counts are ratios between neighbours in time. Every round runs each contestant once, so that
//! each has the reference of its own round beside it; the tables have medians over rounds.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool for the terminal")]

mod contestant;
mod footprint;
mod mail;
mod overload;
mod postfix;
mod processors;
mod report;
mod scaling;
mod spinning;
mod traffic;
mod usage;

use anyhow::{Context, Result};
use clap::Parser;
use contestant::{Contestant, Running};
use mail::{Kind, Mail};
use report::{Measurement, Report, Way};
use std::path::{Path, PathBuf};
use traffic::Load;

/// Measures Wasmilter and other milters in turns: CPU time per message, throughput, latency, memory.
///
/// Every contestant gets the same messages over the milter protocol from one load generator. A table goes to standard output,
/// `bench.json`, `bench.md` and `bench.svg` into the folder of --output.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench --")]
struct Arguments {
    /// Only these contestants (the reference always takes part).
    #[arg(long, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// Kinds of messages.
    #[arg(long, value_delimiter = ',', default_values = ["4k", "100k", "2m", "corpus"])]
    messages: Vec<Kind>,
    /// Rounds; the tables have the medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections at the same time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Messages in one session.
    #[arg(long, default_value_t = 10)]
    per_session: usize,
    /// Share of the usual number of messages per measurement: 0.1 for a quick look.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Messages per second of the latency measurement; 0 leaves it out.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Only this: what becomes of messages when five times as many come as the machine can judge.
    #[arg(long)]
    overload: bool,
    /// Only this: start and memory.
    #[arg(long)]
    footprint: bool,
    /// Only this: a guest in an endless loop, how late it is stopped, and what 64 other connections notice of it.
    #[arg(long)]
    spinning: bool,
    /// Leave out the measurement through a real Postfix.
    #[arg(long)]
    no_postfix: bool,
    /// Leave out how the cost depends on size, stages, connections and messages before.
    #[arg(long)]
    no_scaling: bool,
    /// Leave out the guest in an endless loop.
    #[arg(long)]
    no_spinning: bool,
    /// Leave out the measurement of start and memory, which writes 4 GB into temporary files.
    #[arg(long)]
    no_footprint: bool,
    /// Sends the messages to the milter that listens on this unix socket, whatever it is, and starts nothing: to look at one that
    /// runs, with `perf` for example.
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Where the results go.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(socket) = &arguments.socket {
        return one_that_runs(&arguments, socket);
    }
    let mut contestants: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|contestant| {
            arguments.only.is_empty()
                || arguments.only.contains(contestant)
                || *contestant == Contestant::LibmilterNoReplies
        })
        .collect();
    contestants.sort_unstable();

    let mut report = Report::new(&arguments)?;
    if arguments.overload {
        under_overload(&arguments, &contestants, &mut report)?;
        report.write(&arguments.output)?;
        println!("{}", report.markdown());
        return Ok(());
    }
    if arguments.footprint || arguments.spinning {
        if arguments.footprint {
            report.footprint(footprint::measure(arguments.rounds)?);
        }
        if arguments.spinning {
            beside_a_loop(&arguments, &mut report)?;
        }
        report.write(&arguments.output)?;
        println!("{}", report.markdown());
        return Ok(());
    }
    for kind in &arguments.messages {
        let mails = kind.mails()?;
        through_the_socket(&arguments, &contestants, *kind, &mails, &mut report)?;
    }
    if arguments.rate > 0.0 {
        at_a_steady_rate(&arguments, &contestants, &mut report)?;
    }
    if !arguments.no_postfix {
        postfix::measure(&arguments, &contestants, &mut report)?;
    }
    if contestants.contains(&Contestant::NoopFresh) && !arguments.no_scaling {
        report.curves(scaling::measure(arguments.rounds, arguments.scale)?);
    }
    if contestants.contains(&Contestant::NoopFresh) && !arguments.no_spinning {
        beside_a_loop(&arguments, &mut report)?;
    }
    if contestants.contains(&Contestant::Bundled) && !arguments.no_footprint {
        report.footprint(footprint::measure(arguments.rounds)?);
    }
    report.write(&arguments.output)?;
    println!("{}", report.markdown());
    Ok(())
}

/// Wasmilter in every set-up that is asked for; the others have no such thing.
fn under_overload(arguments: &Arguments, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    for kind in &arguments.messages {
        let mails = kind.mails()?;
        for round in 0..arguments.rounds {
            for contestant in contestants.iter().filter(|contestant| contestant.is_wasmilter()) {
                report.add_overload(overload::measure(*contestant, *kind, &mails, round, arguments.scale)?);
            }
        }
    }
    Ok(())
}

fn beside_a_loop(arguments: &Arguments, report: &mut Report) -> Result<()> {
    for round in 0..arguments.rounds {
        report.add_spinning(spinning::measure(round, arguments.scale)?);
    }
    Ok(())
}

/// A milter that somebody else started.
fn one_that_runs(arguments: &Arguments, socket: &Path) -> Result<()> {
    for kind in &arguments.messages {
        let mails = kind.mails()?;
        for _ in 0..arguments.rounds {
            let outcome = traffic::send(socket, &mails, &load(arguments, *kind))?;
            println!("{:10} {}", kind.name(), report::line(&outcome));
        }
    }
    Ok(())
}

/// As fast as it goes.
fn load(arguments: &Arguments, kind: Kind) -> Load {
    Load {
        connections: arguments.connections,
        per_session: arguments.per_session,
        messages: scaled(kind.messages(), arguments.scale),
        rate: None,
    }
}

/// Every contestant in turn, as fast as it goes.
fn through_the_socket(
    arguments: &Arguments,
    contestants: &[Contestant],
    kind: Kind,
    mails: &[Mail],
    report: &mut Report,
) -> Result<()> {
    let load = load(arguments, kind);
    for round in 0..arguments.rounds {
        for contestant in contestants {
            measure(Way::Milter(kind), round, *contestant, mails, &load, report)?;
        }
    }
    Ok(())
}

/// Every contestant in turn, at a rate that all can keep: what a message waits.
fn at_a_steady_rate(arguments: &Arguments, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    let mails = Kind::Plain.mails()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand messages")]
    let messages = scaled((arguments.rate * 10.0) as u64, arguments.scale);
    let load = Load {
        connections: arguments.connections,
        per_session: arguments.per_session,
        messages,
        rate: Some(arguments.rate),
    };
    for round in 0..arguments.rounds {
        for contestant in contestants {
            measure(Way::SteadyRate, round, *contestant, &mails, &load, report)?;
        }
    }
    Ok(())
}

fn measure(
    way: Way,
    round: usize,
    contestant: Contestant,
    mails: &[Mail],
    load: &Load,
    report: &mut Report,
) -> Result<()> {
    let name = contestant.name();
    let running = Running::start(contestant).with_context(|| format!("starting {name}"))?;
    let idle = running.peak_memory()?;
    let measured = running.measure(mails, load).with_context(|| name.to_owned())?;
    report.add(Measurement::new(way, round, contestant, &measured, idle, running.peak_memory()?));
    Ok(())
}

fn scaled(messages: u64, scale: f64) -> u64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousand messages"
    )]
    let scaled = (messages as f64 * scale) as u64;
    scaled.max(32)
}
