//! A plugin as the pipeline sees it.

use crate::{
    deadline::Deadline,
    decision::{Decision, HookDecision},
    failure::Failure,
    judge::{BoxFuture, Hook, Needs},
    message::ParsedMessage,
};
use serde::Serialize;
use std::sync::Arc;

/// One plugin, loaded and configured for one stage. Implemented by the sandbox; the pipeline knows nothing else of it.
///
/// A call returns by its deadline (give or take the sandbox's tick). It may be dropped at any await point.
pub trait Policy: Send + Sync {
    /// How the plugin presents itself.
    fn info(&self) -> &PluginInfo;

    /// Which phases the plugin exports, and which parts of the message it can look at by its imports and grants.
    fn needs(&self) -> Needs;

    /// Has the plugin judge `message`.
    ///
    /// # Errors
    /// When the plugin gave no decision. The decision's edits are not checked yet.
    fn decide(&self, message: Arc<ParsedMessage>, deadline: Deadline) -> BoxFuture<'_, Result<Decision, Failure>>;

    /// Has the plugin judge a transaction that is under way; `so_far` has no content.
    ///
    /// # Errors
    /// When the plugin gave no decision.
    fn hook(
        &self,
        hook: Hook,
        so_far: Arc<ParsedMessage>,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<HookDecision, Failure>>;
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
