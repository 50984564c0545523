//! The host as a process, asked by a fake MTA: hostile plugins, limits from both sides, start and end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod faults;
mod handover;
mod hostile;
mod lifecycle;
mod limits;
mod overload;
mod reload;
mod stuck;

use std::time::Duration;
use wasmilter_tests::fake_mta::{FakeMta, Flavour, Mail, Offer, Outcome};

/// Runs to its end on this thread.
fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

async fn greeted(address: &str, flavour: Flavour) -> FakeMta {
    let mut mta = FakeMta::connect(address, flavour, Offer::V6).await.unwrap();
    mta.patience = Duration::from_secs(60);
    let refused = mta.greet("192.0.2.1").await.unwrap();
    assert!(refused.is_none(), "{refused:?}");
    mta
}

fn mail(subject: &str) -> Mail {
    Mail::new(&[("From", " a@example.org"), ("Subject", &format!(" {subject}"))], "text\r\n")
}

/// Both replies let the message through; at its end they mean the same.
fn passed(outcome: &Outcome) -> bool {
    matches!(outcome.reply.command, b'c' | b'a')
}
