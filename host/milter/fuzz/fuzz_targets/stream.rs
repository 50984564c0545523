//! Fuzzes a connection: bytes as they come.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::fuzz_stream(bytes));
