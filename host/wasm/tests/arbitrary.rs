//! The fuzz targets on seeded inputs, for a bounded time.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may fail by panicking, and tell how much they did")]

mod invariants;

use invariants::{fuzz_component, fuzz_decision};
use std::time::{Duration, Instant};

/// Runs `target` on inputs from a seed until the time is over, at most so often; gives how often, and how often it said yes.
fn run(target: fn(&[u8]) -> bool, length: usize, most: u32, time: Duration) -> (u32, u32) {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    let start = Instant::now();
    let (mut runs, mut yes) = (0, 0);
    while runs < most && (start.elapsed() < time || runs < 20) {
        let input: Vec<u8> = (0..length).map(|_| next()).collect();
        yes += u32::from(target(&input));
        runs += 1;
    }
    (runs, yes)
}

#[test]
fn any_component_is_loaded_or_refused() {
    let (runs, answered) = run(fuzz_component, 32, 400, Duration::from_secs(30));
    eprintln!("{runs} components, {answered} of them plugins that answered");
    assert!(answered > 0 && answered < runs);
}

#[test]
fn any_decision_is_taken_as_it_is_or_refused() {
    let (runs, applied) = run(fuzz_decision, 96, 3000, Duration::from_secs(30));
    eprintln!("{runs} decisions, {applied} of them applied");
    assert!(applied > 0 && applied < runs);
}
