//! A guest in an endless loop beside others: how late it is stopped, and what the others notice of it.
//!
//! One stage for everybody, whose guest never returns from the messages of one connection; that connection sends them one after the
//! other. The neighbours send at a rate that leaves the machine time, and are measured without and with the loop, in turns.

use crate::{
    contestant::{self, Running},
    mail::{Kind, Mail},
    report::{median, percentiles, triple},
    traffic::{self, Load, Outcome},
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{fmt::Write as _, thread, time::Duration};

/// Connections beside the one whose guest loops.
const NEIGHBOURS: usize = 64;
/// Messages per second of all of them together.
const RATE: f64 = 200.0;
/// Seconds of each measurement.
const SECONDS: f64 = 10.0;
/// The stage's time limit, by which the guest has to be stopped.
const LIMIT: Duration = Duration::from_millis(100);

/// One round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Spinning {
    round: usize,
    /// Percentiles 50, 99, 99.9 of the neighbours' whole messages in microseconds, without …
    without: [u32; 3],
    /// … and with the loop beside them.
    with: [u32; 3],
    /// Their messages that were not accepted.
    refused: u64,
    /// How often the guest was stopped, …
    stopped: usize,
    /// … and how many microseconds after its time limit that was answered: median and most.
    late: [u32; 2],
}

/// A stage that loops on a subject with `bad`, for as long as it may.
fn stage() -> String {
    let plugin = contestant::built("guests", "endless-loop").display().to_string();
    format!(
        "[[stage]]\nname = \"loop\"\nplugin = {plugin:?}\ngrants = [\"headers\"]\ntimeout = \"{}ms\"\non_failure = \"skip\"\n\
         [stage.breaker]\nfailures = 0\n",
        LIMIT.as_millis()
    )
}

pub(crate) fn measure(round: usize, scale: f64) -> Result<Spinning> {
    let running = Running::with_stages(&stage())?;
    let mails = Kind::Plain.mails()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand messages")]
    let messages = (RATE * SECONDS * scale).max(200.0) as u64;
    let neighbours = Load { connections: NEIGHBOURS, per_session: 10, messages, rate: Some(RATE) };
    // Threads, pools and caches come into being.
    traffic::send(&running.socket, &mails, &Load { messages: messages / 10, ..neighbours.clone() })?;

    let without = traffic::send(&running.socket, &mails, &neighbours)?;
    let (with, spun) = beside_the_loop(&running, &mails, &neighbours)?;
    let late = late(&spun)?;
    let [middle, ..] = percentiles(&late);
    let spinning = Spinning {
        round,
        without: percentiles(&without.whole),
        with: percentiles(&with.whole),
        refused: without.refused + with.refused,
        stopped: late.len(),
        late: [middle, late.iter().copied().max().unwrap_or(0)],
    };
    eprintln!("{spinning:?}");
    Ok(spinning)
}

/// The neighbours' load, and beside it one connection whose guest loops for as long as that takes.
fn beside_the_loop(running: &Running, mails: &[Mail], neighbours: &Load) -> Result<(Outcome, Outcome)> {
    let mut bad = mails.first().context("no message to send")?.clone();
    bad.fields.push(b"Subject\0 bad\0".to_vec());
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundred messages"
    )]
    let messages = (neighbours.messages as f64 / RATE / LIMIT.as_secs_f64()) as u64;
    let endless = Load { connections: 1, per_session: 10, messages, rate: None };
    thread::scope(|scope| {
        let spinner = scope.spawn(|| traffic::send(&running.socket, &[bad], &endless));
        let with = traffic::send(&running.socket, mails, neighbours)?;
        let spun = spinner.join().map_err(|_| anyhow::anyhow!("the connection's thread panicked"))??;
        Ok((with, spun))
    })
}

/// Microseconds from the time limit to the answer.
fn late(spun: &Outcome) -> Result<Vec<u32>> {
    let limit = u32::try_from(LIMIT.as_micros())?;
    if let Some(early) = spun.end_of_message.iter().find(|took| **took < limit / 2) {
        bail!("the guest did not loop: a message was answered after {early} µs");
    }
    if spun.end_of_message.is_empty() {
        bail!("the guest's messages were not accepted: {}", spun.refused);
    }
    // The generator looks at its clock when the message is sent; on a busy machine it may get to that late.
    Ok(spun.end_of_message.iter().map(|took| took.saturating_sub(limit)).collect())
}

/// All rounds, and their medians.
pub(crate) fn table(rounds: &[Spinning]) -> String {
    let mut text = format!(
        "### A guest in an endless loop beside {NEIGHBOURS} connections\n\n\
         {NEIGHBOURS} connections with {RATE:.0} messages per second together, whole message in µs, p50 / p99 / p99.9; one more connection \
         whose every message the same stage's guest never returns from, and is stopped after {} ms.\n\n\
         | round | without the loop | with it | × p99 | not accepted | stopped | late by µs, p50 / at most |\n|--:|--:|--:|--:|--:|--:|--:|\n",
        LIMIT.as_millis()
    );
    for one in rounds {
        let Spinning { round, without, with, refused, stopped, late } = one;
        let [middle, most] = late;
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {refused} | {stopped} | {middle} / {most} |",
            round + 1,
            triple(*without),
            triple(*with),
            one.times(),
        );
    }
    let times = median(rounds.iter().map(Spinning::times).collect());
    let late = median(rounds.iter().map(|one| f64::from(one.late[1])).collect());
    let _infallible = writeln!(
        text,
        "\nMedians of the rounds: the neighbours' p99 × {times:.2}, the guest stopped {:.1} ms late at most.\n",
        late / 1000.0
    );
    text
}

impl Spinning {
    /// How much longer the neighbours' p99 is.
    fn times(&self) -> f64 {
        f64::from(self.with[1]) / f64::from(self.without[1].max(1))
    }
}
