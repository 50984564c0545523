//! What a fresh instance costs for every message, by how much of its memory stays with the process between two messages: the same
//! plugin judges the same message in sandboxes that differ in that alone, in turns within one run. Time is the thread's processor
//! time; the ratios are medians over rounds of neighbouring measurements.
//!
//! `cargo bench -p wasmilter-wasm --profile dev --bench starts`. Needs the bundled plugins and the test guests (`cargo xtask plugins`).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement for people")]

use nix::time::{ClockId, clock_gettime};
use std::{path::PathBuf, sync::Arc, time::Duration};
use wasmilter_message::{
    deadline::Deadline,
    eml,
    grants::Grants,
    message::{ParsedMessage, ReceivedMessage, Transaction},
    policy::Policy,
};
use wasmilter_wasm::{Isolation, Limits, Outside, Plugin, Sandbox, SandboxSettings, StageSettings};

const ROUNDS: usize = 21;
const CALLS: u32 = 300;

/// Kept resident in bytes; the first is what the others are compared with.
const KEPT: [usize; 5] = [256 << 10, 0, 64 << 10, 1 << 20, 4 << 20];

fn main() {
    println!("| plugin | reused | 256 KiB | none | 64 KiB | 1 MiB | 4 MiB |\n|---|--:|--:|--:|--:|--:|--:|");
    for (folder, name) in [("guests", "noop"), ("plugins", "peer-address"), ("plugins", "virus"), ("plugins", "spam")] {
        report(folder, name);
    }
}

fn report(folder: &str, name: &str) {
    let reused = prepared(folder, name, KEPT[0], Isolation::Worker { messages: u32::MAX });
    let fresh = KEPT.map(|kept| prepared(folder, name, kept, Isolation::Message));
    let mut of_reused = Vec::new();
    let mut times = Vec::new();
    let mut ratios = KEPT.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        let (reused, fresh) = (measure(&reused), fresh.each_ref().map(measure));
        // The first is for the caches.
        if round > 0 {
            of_reused.push(reused / fresh[0]);
            times.push(fresh[0]);
            for (ratios, time) in ratios.iter_mut().zip(fresh) {
                ratios.push(time / fresh[0]);
            }
        }
    }
    let others: Vec<String> = ratios.into_iter().skip(1).map(|ratios| format!("× {:.2}", median(ratios))).collect();
    println!("| {name} | × {:.2} | {:.1} µs | {} |", median(of_reused), median(times), others.join(" | "));
}

fn prepared(folder: &str, name: &str, kept_resident: usize, isolation: Isolation) -> Plugin {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let settings = SandboxSettings { slots: 4, cache: Some(cache), kept_resident, ..SandboxSettings::default() };
    let sandbox = Sandbox::new(&settings).unwrap();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/{folder}/{name}.wasm"));
    let config = if name == "peer-address" { "{\"trusted\":[\"192.0.2.0/24\"]}" } else { "{}" };
    let mut grants =
        Grants { headers: true, envelope: true, text: true, attachments: true, raw: true, ..Grants::default() };
    grants.add("set-client").unwrap();
    let stage = StageSettings {
        stage: "bench".into(),
        config: config.to_owned(),
        grants,
        limits: Limits::default(),
        isolation,
    };
    let component = sandbox.load(&file).unwrap();
    sandbox.prepare(&component, stage, &Outside::nothing()).unwrap()
}

/// Microseconds for one call.
fn measure(plugin: &Plugin) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = thread_time();
    runtime.block_on(async {
        for _ in 0..CALLS {
            plugin.decide(message(), Deadline::after(Duration::from_secs(20))).await.outcome.unwrap();
        }
    });
    (thread_time() - start).as_secs_f64() * 1e6 / f64::from(CALLS)
}

/// 4 kB of text.
fn message() -> Arc<ParsedMessage> {
    let line = "The committee met on Tuesday and agreed that the garden should be watered.\r\n";
    let text = format!("From: a@example.org\r\nTo: b@example.org\r\nSubject: Minutes\r\n\r\n{}", line.repeat(52));
    let (headers, body) = eml::read(text.as_bytes());
    Arc::new(ParsedMessage::new(ReceivedMessage { transaction: Transaction::default(), headers, body }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
