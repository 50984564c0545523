//! From `[[stage]]` to stages that can run: plugins found, compiled and configured, conditions compiled, files put in.
//! Whatever is wrong is a mistake at its place in the configuration, and the next stage is looked at all the same.

use crate::{
    bundled,
    config::{
        Config, Stage as Configured,
        diagnostic::Diagnostics,
        expand::{Expanded, expand},
        source::Located,
    },
};
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use wasmilter_message::{grants::Grants, policy::Policy};
use wasmilter_pipeline::{Condition, Stage};
use wasmilter_wasm::{Component, Isolation, Limits, Outside, PrepareError, Sandbox, StageSettings};

/// What a stage turned out to be, for the log and `wasmilter check`.
#[derive(Debug, Clone, Serialize)]
pub struct StageSummary {
    /// Name of the stage.
    pub name: String,
    /// The plugin as configured.
    pub plugin: String,
    /// The plugin's file.
    pub file: PathBuf,
    /// How the plugin calls itself, with its version.
    pub version: String,
    /// `message` or `worker`.
    pub isolation: &'static str,
    /// What a message's instance begins as: `snapshot`, `plain` (configured anew for every message, because no snapshot
    /// could be taken), `worker`.
    pub started_from: &'static str,
    /// What it may reach.
    pub grants: Vec<String>,
}

/// Prepares all stages. Those with mistakes are left out. Blocks: plugins may have to be compiled.
pub(crate) fn prepare(
    config: &Config,
    sandbox: &Sandbox,
    outside: &Outside,
    mistakes: &mut Diagnostics,
) -> Vec<(Stage, StageSummary)> {
    let mut components = BTreeMap::new();
    let mut stages = Vec::new();
    for configured in &config.stages {
        let conditions = compile_conditions(configured, mistakes);
        let expanded = expand(&configured.config, &config.source, mistakes);
        let Some((file, component)) = load(configured, config, sandbox, &mut components, mistakes) else {
            continue;
        };
        let prepare = |grants: &Grants| {
            let settings = StageSettings {
                stage: Arc::from(configured.name.as_str()),
                config: expanded.json.to_string(),
                grants: grants.clone(),
                limits: Limits { memory: configured.memory, ..Limits::default() },
                isolation: configured.isolation,
            };
            sandbox.prepare(&component, settings, outside)
        };
        let plugin = match prepare(&configured.grants) {
            Ok(plugin) => plugin,
            Err(error) => {
                // The plugin is asked about its own settings all the same, in a stage that will not run.
                let more = error.with_missing(&configured.grants).and_then(|grants| prepare(&grants).err());
                for error in [Some(error), more].into_iter().flatten() {
                    explain(error, configured, &expanded, mistakes);
                }
                continue;
            }
        };
        let summary = summary(configured, file, &plugin);
        if let Some((when, unless)) = conditions {
            stages.push((assemble(configured, when, unless, Arc::new(plugin)), summary));
        }
    }
    stages
}

/// None when one of them is wrong.
fn compile_conditions(
    configured: &Configured,
    mistakes: &mut Diagnostics,
) -> Option<(Option<Condition>, Option<Condition>)> {
    let mut compile = |source: &Option<Located<String>>| match source {
        None => Some(None),
        Some(source) => match Condition::compile(&source.value) {
            Ok(condition) => Some(Some(condition)),
            Err(error) => {
                mistakes.add_inside(source, error.offset, error.message, None);
                None
            }
        },
    };
    let (when, unless) = (compile(&configured.when), compile(&configured.unless));
    Some((when?, unless?))
}

/// The stage's plugin, compiled once however many stages use it.
fn load(
    configured: &Configured,
    config: &Config,
    sandbox: &Sandbox,
    components: &mut BTreeMap<PathBuf, Component>,
    mistakes: &mut Diagnostics,
) -> Option<(PathBuf, Component)> {
    let plugin = configured.plugin.as_ref()?;
    let file = match bundled::find(plugin, config) {
        Ok(file) => file,
        Err(not_found) => {
            mistakes.add(&plugin.at, not_found.message, Some(not_found.help));
            return None;
        }
    };
    if let Some(component) = components.get(&file) {
        return Some((file, component.clone()));
    }
    match sandbox.load(&file) {
        Ok(component) => {
            components.insert(file.clone(), component.clone());
            Some((file, component))
        }
        Err(error) => {
            mistakes.add(&plugin.at, error.to_string(), None);
            None
        }
    }
}

/// Puts what the sandbox says at the place in the configuration that can change it.
fn explain(error: PrepareError, configured: &Configured, expanded: &Expanded, mistakes: &mut Diagnostics) {
    match error {
        PrepareError::MissingGrants(missing) => {
            let help = format!("add to the stage's grants: {}", missing.join(", "));
            mistakes.add(&configured.grants_at, format!("the plugin needs {}", missing.join(", ")), Some(help));
        }
        PrepareError::Config(problems) => {
            for problem in problems.into_iter().filter(|problem| !expanded.is_unread(&problem.path)) {
                mistakes.add(&configured.config.spot(&problem.path), problem.message, None);
            }
        }
        other => {
            let at = configured.plugin.as_ref().map_or(&configured.at, |plugin| &plugin.at);
            mistakes.add(at, other.to_string(), None);
        }
    }
}

fn assemble(
    configured: &Configured,
    when: Option<Condition>,
    unless: Option<Condition>,
    policy: Arc<dyn Policy>,
) -> Stage {
    Stage {
        name: Arc::from(configured.name.as_str()),
        plugin: Arc::from(configured.plugin.as_ref().map_or("", |plugin| plugin.value.as_str())),
        policy,
        when,
        unless,
        timeout: configured.timeout,
        concurrency: usize::try_from(configured.concurrency).unwrap_or(usize::MAX),
        on_failure: configured.on_failure,
        mode: configured.mode,
        grants: configured.grants.edits(),
    }
}

fn summary(configured: &Configured, file: PathBuf, plugin: &wasmilter_wasm::Plugin) -> StageSummary {
    let info = plugin.info();
    StageSummary {
        name: configured.name.clone(),
        plugin: configured.plugin.as_ref().map_or_else(String::new, |plugin| plugin.value.clone()),
        file,
        version: format!("{} {}", info.name, info.version),
        isolation: match configured.isolation {
            Isolation::Message => "message",
            Isolation::Worker { .. } => "worker",
        },
        started_from: plugin.started_from().name(),
        grants: configured.grants.names(),
    }
}
