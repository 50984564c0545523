//! A plugin as the pipeline sees it.

use crate::{
    deadline::Deadline,
    decision::{Decision, HookDecision},
    failure::Failure,
    judge::{BoxFuture, Hook, Needs},
    limit::LimitSet,
    message::ParsedMessage,
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// One plugin, loaded and configured for one stage. Implemented by the sandbox; the pipeline knows nothing else of it.
///
/// A call returns by its deadline (give or take the sandbox's tick). It may be dropped at any await point.
pub trait Policy: Send + Sync {
    /// How the plugin presents itself.
    fn info(&self) -> &PluginInfo;

    /// Which phases the plugin exports, and which parts of the message it can look at by its imports and grants.
    fn needs(&self) -> Needs;

    /// Has the plugin judge `message`. A decision's edits are not checked yet.
    fn decide(&self, message: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Called<Decision>>;

    /// Has the plugin judge a transaction that is under way; `so_far` has no content.
    fn hook(&self, hook: Hook, so_far: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Called<HookDecision>>;
}

/// What came of a call, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Called<T> {
    /// The decision, or why there is none.
    pub outcome: Result<T, Failure>,
    /// What was used for it, either way.
    pub used: Used,
}

impl<T> From<Result<T, Failure>> for Called<T> {
    /// A call that used nothing worth telling.
    fn from(outcome: Result<T, Failure>) -> Self {
        Self { outcome, used: Used::default() }
    }
}

/// What one call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time of the guest and of the host's functions that it called.
    pub cpu: Duration,
    /// Linear memory of its instance at the end, in bytes: memories never shrink, so this is the most it had. 0 when not known,
    /// because the call was broken off.
    pub memory: u64,
    /// Limits that the plugin was told of instead of being ended by them.
    pub refused: LimitSet,
}

/// How a plugin presents itself; `plugin-info` of `wit/lifecycle.wit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Short name.
    pub name: String,
    /// Semver.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// SPDX expression; empty when not told.
    pub licence: String,
    /// URL; empty for none.
    pub home_page: String,
    /// Grants that it can make use of.
    pub grants: Vec<String>,
    /// JSON Schema of its configuration.
    pub config_schema: String,
}
