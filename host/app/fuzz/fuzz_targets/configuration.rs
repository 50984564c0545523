//! Fuzzes reading a configuration: the text alone, no file that it names is opened.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::fuzz_configuration(text));
