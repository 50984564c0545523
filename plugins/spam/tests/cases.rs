//! The folders of `cases/`, without a host.

#[test]
fn cases() {
    wasmilter_sdk::testing::cases::<spam::Spam>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
