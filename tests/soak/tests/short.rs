//! Two minutes of the soak, as part of all tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use wasmilter_tests::corpus::repository;

#[test]
fn two_minutes_of_misfortune_leave_every_message_answered_rightly() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_wasmilter-soak"));
    soak.args(["--minutes", "2", "--output"]).arg(repository().join("target/soak/short"));
    let status = soak.current_dir(repository()).status().unwrap();
    assert!(status.success(), "see target/soak/short");
}
