//! `cargo xtask soak`: one host process under real mail for as long as one likes, with plugins that misbehave, services that die,
//! clients that give up, and reloads; every answer is held against an oracle.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool for the terminal")]

mod client;
mod ground;
mod oracle;
mod plan;
mod report;
mod sluggish;
mod stages;
mod tally;
mod trouble;
mod watch;

use anyhow::{Context, Result};
use clap::Parser;
use ground::{Ground, Known, Pace};
use report::Report;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::task::{LocalSet, spawn_local};
use trouble::Troubles;
use wasmilter_tests::{
    clamd::Clamd, corpus, fake_mta::Mail, letter::Letter, ports, scratch::Scratch, server, wait, wasmilter::Wasmilter,
};
use watch::{Footprint, Sample};

/// Sends mail through a host for a long time while plugins, services and clients misbehave, and checks every answer.
///
/// Needs a built workspace (`cargo xtask soak` builds it), the test guests and clamd. Ends with 0 when every message was
/// answered once and rightly, memory and descriptors stayed where they were, and the metrics say what the client saw.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask soak --")]
struct Arguments {
    /// For how long, after the machine was measured.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// What is sent is a function of it; the time of day when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Connections at the same time.
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Share of the load that the machine was measured to take.
    #[arg(long, default_value_t = 0.7)]
    share: f64,
    /// Every so-manieth message of the shared corpus.
    #[arg(long, default_value_t = 4)]
    corpus_step: usize,
    /// Where the results go.
    #[arg(long, default_value = "target/soak")]
    output: PathBuf,
}

/// Connections beside those that send mail, that only hang around.
const LINGERING: u32 = 12;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, soak(&arguments))?;
    report.write(&arguments.output)?;
    print!("{report}");
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn soak(arguments: &Arguments) -> Result<Report> {
    let seed =
        arguments.seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()));
    let scratch = Scratch::new("soak");
    let clamd = Clamd::start();
    let unix = scratch.join("milter.sock");
    let tcp = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let listen = [format!("unix:{}", unix.display()), format!("inet:{tcp}")];
    let host = Wasmilter::start_on(&listen.each_ref().map(String::as_str), &stages::configuration(1, &clamd.address()));
    let mails = mails(arguments.corpus_step);
    let (_, descriptors_before) = wasmilter_tests::wasmilter::footprint(&host);

    let known = Known::default();
    known.confirmed.set(1);
    known.requested.set(1);
    known.scanner(true);
    let ground = Rc::new(Ground { unix, tcp, corpus: mails, known, pace: Pace::new(), tally: Default::default() });
    let corpus_size = ground.corpus.len();

    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let measuring = (length / 6).clamp(Duration::from_secs(5), Duration::from_secs(30));
    ground.pace.set(None, measuring);
    send(&ground, seed, client::WARM_UP, arguments.connections).await?;
    #[allow(clippy::cast_precision_loss, reason = "numbers of messages are far below 2^52")]
    let capacity = ground.pace.issued() as f64 / measuring.as_secs_f64();
    let rate = (capacity * arguments.share).max(1.0);
    eprintln!("seed {seed}: the machine took {capacity:.0} messages a second; now {rate:.0} for {length:?}");

    ground.pace.set(Some(rate), length);
    ground.tally.borrow_mut().took.clear();
    let place = trouble::Host { pid: host.pid(), admin: host.admin(), config: host.config() };
    let pause = (length / 12).clamp(Duration::from_secs(3), Duration::from_secs(20));
    let troubles = spawn_local(trouble::make(Rc::clone(&ground), place, clamd, seed, pause));
    let every = (length / 600).clamp(Duration::from_millis(500), Duration::from_secs(5));
    let samples = spawn_local(watch::watch(Rc::clone(&ground), host.pid(), every));
    let lingering: Vec<_> =
        (0..LINGERING).map(|number| spawn_local(client::lingering(Rc::clone(&ground), seed, number))).collect();
    send(&ground, seed, 0, arguments.connections).await?;
    for task in lingering {
        task.await?;
    }
    let samples = samples.await?;
    let troubles = match troubles.await? {
        Ok((troubles, _clamd)) => troubles,
        // What was seen counts, whatever came of that.
        Err(error) => {
            ground.tally.borrow_mut().wrong(format!("making trouble: {error:#}"));
            Troubles::default()
        }
    };
    Ok(finish(
        arguments,
        seed,
        &ground,
        host,
        Run { corpus_size, capacity, rate, troubles, samples, descriptors_before },
    ))
}

/// What a run was, for its report.
struct Run {
    corpus_size: usize,
    capacity: f64,
    rate: f64,
    troubles: Troubles,
    samples: Vec<Sample>,
    descriptors_before: usize,
}

/// All messages there are, as mail servers have them.
fn mails(step: usize) -> Vec<Mail> {
    let specimens = corpus::own().into_iter().chain(corpus::shared(step));
    specimens.map(|specimen| Letter::parse(&specimen.message).into_mail()).collect()
}

/// Sessions on so many connections, until the pace says that it is over.
async fn send(ground: &Rc<Ground>, seed: u64, first: u32, connections: u32) -> Result<()> {
    let tasks: Vec<_> = (first..first + connections)
        .map(|number| spawn_local(client::connection(Rc::clone(ground), seed, number)))
        .collect();
    for task in tasks {
        task.await.context("a connection's task")?;
    }
    Ok(())
}

/// When all is quiet: does everything add up?
fn finish(arguments: &Arguments, seed: u64, ground: &Ground, host: Wasmilter, run: Run) -> Report {
    let quiet = Duration::from_secs(60);
    wait::until("the host to be idle", quiet, || {
        let metrics = host.metrics();
        let busy = ["wasmilter_connections", "wasmilter_messages_in_flight"].map(|name| metrics.sum(name, &[]));
        (busy.iter().sum::<f64>() == 0.0).then_some(())
    });
    let pid = host.pid();
    let metrics = host.metrics();
    let mut tally = ground.tally.borrow_mut();
    for difference in tally.compare(&metrics) {
        tally.wrong(difference);
    }
    let footprint = Footprint::of(&run.samples);
    match &footprint {
        Some(footprint) => footprint.complaints().iter().for_each(|complaint| tally.wrong(complaint)),
        None => tally.wrong("too short to judge memory"),
    }
    // The connection that asked for the metrics may take a moment to go. Some descriptors come with the first message.
    let most = run.descriptors_before + 8;
    let mut descriptors_after = server::descriptors(pid);
    for _ in 0..50 {
        if descriptors_after <= most {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        descriptors_after = server::descriptors(pid);
    }
    if descriptors_after > most {
        tally.wrong(format!(
            "{descriptors_after} descriptors are open after the last connection, {} were before the first",
            run.descriptors_before
        ));
    }
    if host.log().contains("panicked at") {
        tally.wrong("something panicked, see the log");
    }
    let mut failures_by_cause = BTreeMap::new();
    for cause in [
        "failed",
        "service",
        "trap",
        "timeout",
        "cpu",
        "memory",
        "limit",
        "refused",
        "overload",
        "deadline",
        "died",
        "condition",
        "configure",
        "store",
        "circuit_open",
    ] {
        let count = metrics.sum("wasmilter_stage_failures_total", &[&format!("cause=\"{cause}\"")]);
        if count > 0.0 {
            failures_by_cause.insert(cause.to_owned(), count);
        }
    }
    let (wrong, wrong_in_all) = tally.complaints();
    let report = Report {
        seed,
        minutes: arguments.minutes,
        connections: arguments.connections,
        corpus: run.corpus_size,
        capacity: run.capacity,
        rate: run.rate,
        slipped: ground.pace.slipped.get().as_secs_f64(),
        messages: tally.answered,
        sessions: tally.connections,
        verdicts: tally.verdicts.clone(),
        courses: tally.courses.clone(),
        failures_by_cause,
        troubles: run.troubles,
        milliseconds: report::milliseconds(&tally),
        footprint,
        descriptors: [run.descriptors_before, descriptors_after],
        samples: report::thinned(&run.samples),
        wrong: wrong.to_vec(),
        wrong_in_all,
    };
    drop(tally);
    if report.passed() {
        host.stop();
    } else {
        let log = arguments.output.join("wasmilter.log");
        match std::fs::create_dir_all(&arguments.output).and_then(|()| std::fs::write(&log, host.log())) {
            Ok(()) => eprintln!("the host's log: {}", log.display()),
            Err(error) => eprintln!("the host's log can not be kept: {error}"),
        }
    }
    report
}
