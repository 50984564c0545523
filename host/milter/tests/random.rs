//! Random sessions, and those that the fuzz targets found worth keeping, against the invariants that the fuzz targets check.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

mod invariants;

use invariants::{fuzz_session, fuzz_stream};
use proptest::{prelude::*, test_runner::Config};
use std::path::Path;

proptest! {
    #![proptest_config(Config::with_cases(1_000))]

    #[test]
    fn sessions_keep_the_invariants(choices in prop::collection::vec(any::<u8>(), 0..2_000)) {
        fuzz_session(&choices);
    }

    #[test]
    fn bytes_keep_the_invariants(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        fuzz_stream(&bytes);
    }
}

#[test]
fn what_was_found_once_keeps_the_invariants() {
    for (target, check) in [("session", fuzz_session as fn(&[u8])), ("stream", fuzz_stream)] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "the corpus of {target} is gone");
        for input in inputs {
            check(&std::fs::read(&input).unwrap());
        }
    }
}
