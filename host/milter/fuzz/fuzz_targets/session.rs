//! Fuzzes a session: commands in any order, with a judge that answers anything.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|choices: &[u8]| invariants::fuzz_session(choices));
