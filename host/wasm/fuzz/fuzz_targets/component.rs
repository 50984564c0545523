//! Loads damaged and arbitrary components, and asks those that are plugins.
#![no_main]

#[path = "../../tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    invariants::fuzz_component(bytes);
});
