//! What becomes of messages when more come than the machine can judge: five times as many.
//!
//! Three measurements of one running host: as fast as a few connections go (what the machine can do), at a tenth of that (how
//! long a message takes when nothing is in its way), at five times that. The host and the load generator have half of the
//! processors each: five times as much as the host can do is a lot to generate, and what a generator takes of the host's processors
//! would be measured as the host's latency.

use crate::{
    contestant::{Contestant, Running},
    mail::{Kind, Mail},
    processors::Halves,
    report::percentiles,
    traffic::{self, Load, Outcome},
};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;

/// How much more comes than can be done.
const TIMES: f64 = 5.0;
/// Seconds of each measurement.
const SECONDS: f64 = 8.0;
/// So few that nobody is refused, and enough to keep the machine busy.
const FEW: usize = 6;
/// Who is refused has its connection taken for up to so many seconds.
const REFUSED_WITHIN: f64 = 0.1;
/// Connections at most: each is a thread of the load generator.
const MOST_CONNECTIONS: f64 = 400.0;

/// One host under five times too much.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overload {
    contestant: Contestant,
    kind: Kind,
    round: usize,
    /// Messages per second that the machine can do, and that came.
    possible: f64,
    came: f64,
    /// Of those that came, per second.
    let_in: f64,
    /// Percentiles 50, 99, 99.9 in microseconds from the end of the message to its verdict: when nothing was in its way, …
    unloaded: [u32; 3],
    /// … of those let in, …
    under_load: [u32; 3],
    /// … of those refused.
    refused: [u32; 3],
    /// Peak memory in bytes before and after.
    memory: [u64; 2],
}

pub(crate) fn measure(
    contestant: Contestant,
    kind: Kind,
    mails: &[Mail],
    round: usize,
    scale: f64,
) -> Result<Overload> {
    let (_apart, running) = Halves::start(|| Running::start(contestant))?;
    let send = |connections: usize, messages: f64, rate: Option<f64>| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand messages")]
        let load = Load { connections, per_session: 10, messages: messages.max(100.0) as u64, rate };
        traffic::send(&running.socket, mails, &load)
    };
    // Threads, pools and caches come into being; and a first guess.
    let warm = per_second(&send(FEW, 400.0, None)?);
    let possible = per_second(&send(FEW, warm * SECONDS * scale, None)?);
    let unloaded = send(FEW, possible / 10.0 * SECONDS * scale, Some(possible / 10.0))?;
    let before = running.peak_memory()?;
    let rate = possible * TIMES;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred connections")]
    let connections = (rate * REFUSED_WITHIN * 1.5).clamp(64.0, MOST_CONNECTIONS) as usize;
    // A crowd that goes by is no overload: nobody is refused for the first second.
    send(connections, rate * 2.0, Some(rate))?;
    let loaded = send(connections, rate * SECONDS * scale, Some(rate))?;
    let seconds = loaded.elapsed.as_secs_f64().max(1e-9);
    #[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
    let overload = Overload {
        contestant,
        kind,
        round,
        possible,
        came: loaded.messages as f64 / seconds,
        let_in: (loaded.messages - loaded.refused) as f64 / seconds,
        unloaded: percentiles(&unloaded.end_of_message),
        under_load: percentiles(&loaded.end_of_message),
        refused: percentiles(&loaded.end_of_refused),
        memory: [before, running.peak_memory()?],
    };
    eprintln!("{overload:?}");
    Ok(overload)
}

#[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
fn per_second(outcome: &Outcome) -> f64 {
    (outcome.messages - outcome.refused) as f64 / outcome.elapsed.as_secs_f64().max(1e-9)
}

/// A table of all.
pub(crate) fn table(overloads: &[Overload]) -> String {
    let mut text = String::from(
        "### Five times as much as the machine can do\n\nPer second; times from the end of a message to its verdict in µs, p50 / p99 / p99.9; \
         the host has one half of the processors, the load generator the other.\n\n\
         | | possible | came | let in | alone | let in | × p99 | refused | peak MB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for one in overloads {
        let Overload { contestant, kind, possible, came, let_in, unloaded, under_load, refused, memory, .. } = one;
        let times = f64::from(under_load[1]) / f64::from(unloaded[1].max(1));
        let show = |values: &[u32; 3]| values.map(|value| value.to_string()).join(" / ");
        let _infallible = writeln!(
            text,
            "| {}, {} | {possible:.0} | {came:.0} | {let_in:.0} | {} | {} | {times:.1} | {} | {} → {} |",
            contestant.name(),
            kind.name(),
            show(unloaded),
            show(under_load),
            show(refused),
            memory[0] >> 20,
            memory[1] >> 20,
        );
    }
    text.push('\n');
    text
}
