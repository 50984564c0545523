//! Has a guest answer with arbitrary decisions, well-formed and not.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    invariants::fuzz_decision(bytes);
});
