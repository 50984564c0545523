//! What the cost of a message depends on: size and number of stages, in a straight line; and what it does not depend on: how many
//! connections there are, and how many messages came before.

use crate::{
    contestant::{self, Running},
    mail::{Kind, Mail},
    traffic::{self, Load},
};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;

/// What was varied, and the CPU time of the host for one message at each value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Curve {
    what: &'static str,
    /// Value and microseconds, medians of the rounds.
    points: Vec<(u64, f64)>,
}

const STAGES: [u64; 5] = [1, 2, 4, 8, 16];
const KILOBYTES: [u64; 5] = [4, 64, 256, 1024, 4096];
const CONNECTIONS: [u64; 4] = [4, 16, 64, 256];
/// Thousands of messages that one host has judged before.
const BEFORE: [u64; 4] = [1, 20, 40, 60];

/// All curves, each point measured once in every round.
pub(crate) fn measure(rounds: usize, scale: f64) -> Result<Vec<Curve>> {
    let plain = Kind::Plain.mails()?;
    let load = |connections: u64, messages: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand messages")]
        let messages = (messages * scale).max(100.0) as u64;
        Load { connections: usize::try_from(connections).unwrap_or(16), per_session: 10, messages, rate: None }
    };
    let stages = curve("stages that do nothing", &STAGES, rounds, |stages| {
        cpu(&Running::with_stages(&contestant::noops(stages))?, &plain, &load(16, 4_000.0))
    })?;
    let size = curve("kilobytes of a message that a plugin reads", &KILOBYTES, rounds, |kilobytes| {
        let mail = [Mail::large(usize::try_from(kilobytes * 1000)?)];
        #[allow(clippy::cast_precision_loss, reason = "some thousand")]
        let messages = 400_000.0 / (kilobytes as f64 + 100.0);
        cpu(&Running::with_stages(contestant::VIRUS)?, &mail, &load(16, messages))
    })?;
    let connections = curve("connections", &CONNECTIONS, rounds, |connections| {
        cpu(&Running::with_stages(&contestant::noops(1))?, &plain, &load(connections, 8_000.0))
    })?;
    let mut before = Curve { what: "thousands of messages before", points: Vec::new() };
    let running = Running::with_stages(&contestant::noops(1))?;
    let mut sent = 0;
    for thousands in BEFORE {
        traffic::send(&running.socket, &plain, &load(16, (thousands - sent) as f64 * 1000.0))?;
        sent = thousands;
        before.points.push((thousands, cpu(&running, &plain, &load(16, 4_000.0))?));
    }
    Ok(vec![stages, size, connections, before])
}

fn curve(what: &'static str, values: &[u64], rounds: usize, measure: impl Fn(u64) -> Result<f64>) -> Result<Curve> {
    let mut measured: Vec<Vec<f64>> = values.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (value, measured) in values.iter().zip(&mut measured) {
            measured.push(measure(*value)?);
        }
    }
    let points = values.iter().copied().zip(measured.into_iter().map(crate::report::median)).collect();
    Ok(Curve { what, points })
}

/// Microseconds of CPU time for one message.
fn cpu(running: &Running, mails: &[Mail], load: &Load) -> Result<f64> {
    Ok(running.measure(mails, load)?.cpu_micros())
}

/// As a table of each.
pub(crate) fn tables(curves: &[Curve]) -> String {
    let mut text = "### What the cost of a message depends on\n\nCPU µs of the host for one message.\n\n".to_owned();
    for Curve { what, points } in curves {
        let (values, times): (Vec<String>, Vec<String>) =
            points.iter().map(|(value, time)| (value.to_string(), format!("{time:.0}"))).unzip();
        let _infallible = writeln!(
            text,
            "| {what} | {} |\n|---|{}\n| CPU µs | {} |\n",
            values.join(" | "),
            "--:|".repeat(points.len()),
            times.join(" | ")
        );
    }
    text
}
