//! Skeleton.
use wasmilter_sdk::{Decision, Failure, Lifecycle, MessagePolicy, PluginInfo, Problem, Verdict};

struct Plugin;

impl Lifecycle for Plugin {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "virus".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "skeleton".to_owned(),
            grants: Vec::new(),
            config_schema: "{}".to_owned(),
        }
    }

    fn configure(_config: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl MessagePolicy for Plugin {
    fn decide() -> Result<Decision, Failure> {
        Ok(Decision { verdict: Verdict::Next, edits: Vec::new(), facts: Vec::new() })
    }
}

wasmilter_sdk::export_message_plugin!(Plugin);
