//! Memory and descriptors of the host along the way, and whether they stay where they are.

use crate::ground::Ground;
use serde::Serialize;
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;
use wasmilter_tests::server;

/// What was seen at one time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// Since the beginning.
    pub(crate) seconds: f64,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
}

/// Looks at the process now and then, until the end.
pub(crate) async fn watch(ground: Rc<Ground>, pid: u32, every: Duration) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while ground.pace.goes_on() {
        samples.push(Sample {
            seconds: began.elapsed().as_secs_f64(),
            memory: server::resident(pid),
            descriptors: server::descriptors(pid),
        });
        sleep_until((Instant::now() + every).min(ground.pace.end()).into()).await;
    }
    samples
}

/// The first part of the samples is not judged: pools, caches and arenas come into being.
const WARM_UP: f64 = 0.25;
/// What memory may grow by after that, in bytes or as a share of what it is: allocators have no better memory. A leak of 100 bytes a
/// message shows in an hour of two hundred messages a second five times over.
const STILL_BYTES: f64 = 12.0 * 1_048_576.0;
const STILL_SHARE: f64 = 0.06;
/// Pools fill up to what the worst moment needed, and a busy machine has bad moments: a short run tells only gross leaks.
const SHORT: f64 = 600.0;
const STILL_BYTES_SHORT: f64 = 96.0 * 1_048_576.0;
/// Descriptors come and go with connections.
const STILL_DESCRIPTORS: f64 = 30.0;

/// How a value went after the warming up.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Course {
    /// Median of the first third that is judged, and of the last.
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) highest: f64,
    /// Of the straight line that fits best, per minute.
    pub(crate) slope_per_minute: f64,
    /// What it grows by in all of the time as it does in the half in which it grows less: a pool that a bad moment filled is a step in
    /// one of them, a leak climbs in both.
    pub(crate) growth: f64,
    /// Seconds from the first judged sample to the last.
    pub(crate) seconds: f64,
}

/// Memory and descriptors after the warming up; None with too few samples.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Footprint {
    pub(crate) memory: Course,
    pub(crate) descriptors: Course,
}

impl Footprint {
    #[allow(clippy::cast_precision_loss, reason = "bytes of one process")]
    pub(crate) fn of(samples: &[Sample]) -> Option<Self> {
        let end = samples.last()?.seconds;
        let judged: Vec<&Sample> = samples.iter().filter(|sample| sample.seconds >= end * WARM_UP).collect();
        let course =
            |value: fn(&Sample) -> f64| course(&judged.iter().map(|s| (s.seconds, value(s))).collect::<Vec<_>>());
        Some(Self { memory: course(|s| s.memory as f64)?, descriptors: course(|s| s.descriptors as f64)? })
    }

    /// What does not stay where it is.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let Self { memory, descriptors } = self;
        let least = if memory.seconds < SHORT { STILL_BYTES_SHORT } else { STILL_BYTES };
        let allowed = least.max(memory.first * STILL_SHARE);
        // Both: a slope within the noise is no growth.
        if memory.growth > allowed && memory.last - memory.first > allowed / 2.0 {
            complaints.push(format!(
                "memory grew by {:.1} MiB, all along after warming up, from {:.1} to {:.1} MiB; {:.1} are allowed",
                memory.growth / 1_048_576.0,
                memory.first / 1_048_576.0,
                memory.last / 1_048_576.0,
                allowed / 1_048_576.0
            ));
        }
        if descriptors.growth > STILL_DESCRIPTORS && descriptors.last - descriptors.first > STILL_DESCRIPTORS / 2.0 {
            complaints.push(format!("descriptors grew from {} to {}", descriptors.first, descriptors.last));
        }
        complaints
    }
}

fn course(points: &[(f64, f64)]) -> Option<Course> {
    let third = points.len() / 3;
    let (first, last) = (points.get(..third)?, points.get(points.len() - third..)?);
    let (one_half, other_half) = points.split_at(points.len() / 2);
    let highest = points.iter().map(|p| p.1).fold(0.0, f64::max);
    let span = points.last()?.0 - points.first()?.0;
    Some(Course {
        first: median(first)?,
        last: median(last)?,
        highest,
        slope_per_minute: slope(points)? * 60.0,
        growth: slope(one_half)?.min(slope(other_half)?) * span,
        seconds: span,
    })
}

/// Of the straight line that fits best.
#[allow(clippy::cast_precision_loss, reason = "some thousand samples")]
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let together: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let along: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    (along > 0.0).then(|| together / along)
}

fn median(points: &[(f64, f64)]) -> Option<f64> {
    let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn complaints(memory: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> usize) -> Vec<String> {
        let sample = |second: u64| Sample {
            seconds: f64::from(u32::try_from(second).unwrap()),
            memory: memory(second),
            descriptors: descriptors(second),
        };
        Footprint::of(&(0..4000).map(sample).collect::<Vec<_>>()).unwrap().complaints()
    }

    #[test]
    fn what_stays_is_fine() {
        // It warms up, and then goes up and down.
        let memory = |second: u64| (100 + second.min(80) + second % 7) * MIB;
        assert_eq!(complaints(memory, |second| usize::try_from(40 + second % 9).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn a_step_is_no_leak() {
        for at in [1100, 2000, 3900] {
            assert_eq!(complaints(|second| (100 + 25 * u64::from(second > at)) * MIB, |_| 40), Vec::<String>::new());
        }
    }

    #[test]
    fn what_grows_is_told() {
        // All the time; in steps, again and again; slowly after a step.
        for memory in [
            |second| 100 * MIB + second * MIB / 100,
            |second| 100 * MIB + second / 500 * 5 * MIB,
            |second| (100 + 25 * u64::from(second > 2500)) * MIB + second * MIB / 150,
        ] {
            let leaking = complaints(memory, |_| 40);
            assert!(leaking.len() == 1 && leaking[0].starts_with("memory grew"), "{leaking:?}");
        }
        let leaking = complaints(|_| 100 * MIB, |second| usize::try_from(40 + second / 40).unwrap());
        assert!(leaking.len() == 1 && leaking[0].starts_with("descriptors grew"), "{leaking:?}");
    }
}
