//! Fuzzes the MIME tree and all ways to read a message.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::fuzz_parse(bytes));
