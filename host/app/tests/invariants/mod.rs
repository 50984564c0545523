//! What holds for every text that somebody may call a configuration: used by the fuzz target and by the seeded test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

use wasmilter_app::config::{Config, source::Source};

/// Reading never panics; every mistake has a place in the text; both ways of showing mistakes work; what has none is a
/// configuration whose required parts are there.
#[allow(unreachable_pub, reason = "included by path from the fuzz target as well")]
pub fn fuzz_configuration(text: &str) {
    let (config, mistakes) = Config::parse(&Source::new("fuzz.toml", text));
    let lines = text.split('\n').count();
    for mistake in mistakes.list() {
        assert!((1..=lines).contains(&mistake.line), "{mistake:?}");
        assert!(mistake.column >= 1 && !mistake.message.is_empty(), "{mistake:?}");
    }
    assert_eq!(mistakes.is_empty(), mistakes.render(false).is_empty());
    assert_eq!(serde_json::to_value(mistakes.list()).unwrap().as_array().unwrap().len(), mistakes.list().len());
    if mistakes.is_empty() {
        assert!(!config.milter.listen.is_empty());
        assert!(config.stages.iter().all(|stage| !stage.name.is_empty() && stage.plugin.is_some()));
    }
}
