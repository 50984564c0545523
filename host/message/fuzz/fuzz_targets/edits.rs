//! Fuzzes edits, chosen by the first 48 bytes, of the message in the rest.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::fuzz_edits(bytes));
