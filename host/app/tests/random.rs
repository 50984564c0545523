//! Random texts, made from the samples so that they come far, against the invariants that the fuzz target checks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

mod invariants;

use invariants::fuzz_configuration;
use proptest::{prelude::*, test_runner::Config as Settings};

const SAMPLES: [&str; 7] = [
    include_str!("config/everything.toml"),
    include_str!("config/smallest.toml"),
    include_str!("config/stages.toml"),
    include_str!("config/unknown-keys.toml"),
    include_str!("config/wrong-types.toml"),
    include_str!("config/wrong-limits.toml"),
    include_str!("config/wrong-values.toml"),
];

/// What is put in at random places.
const PIECES: [&str; 18] = [
    "\"",
    "[",
    "]",
    "[[stage]]\n",
    "=",
    "\n",
    "{",
    "}",
    "'",
    "é",
    "-1",
    "99999999999999999999",
    "nan",
    "\\u0000",
    ".",
    "#",
    "config = { a = { file = 'x' } }\n",
    "1979-05-27",
];

proptest! {
    #![proptest_config(Settings::with_cases(500))]

    #[test]
    fn changed_samples_keep_the_invariants(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0..20_usize), 0..6),
    ) {
        let mut text: Vec<char> = SAMPLES[sample].chars().collect();
        for (at, piece, cut) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        fuzz_configuration(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_text_keeps_the_invariants(text in "\\PC{0,200}") {
        fuzz_configuration(&text);
    }
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("a = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    fuzz_configuration(&deep);
    fuzz_configuration(&format!("[[stage]]\nname='a'\nplugin='a'\nconfig.{}x = 1\n", "a.".repeat(70)));
}
