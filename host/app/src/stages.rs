//! From `[[stage]]` to stages that can run: plugins found, compiled and configured, conditions compiled, files put in.
//! Whatever is wrong is a mistake at its place in the configuration, and the next stage is looked at all the same.

use crate::{
    config::{
        Config, Stage as Configured,
        diagnostic::Diagnostics,
        expand::{Expanded, expand},
        source::{Located, Spot},
    },
    origin::{self, Obtained},
    schema,
};
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use wasmilter_message::{grants::Grants, policy::Policy};
use wasmilter_pipeline::{Condition, Local, Mode, Plan, Route, Stage};
use wasmilter_registry::Digest;
use wasmilter_wasm::{
    Component, Isolation, Limits, Outside, Plugin, PrepareError, Sandbox, StageSettings, StartedFrom,
};

/// What a stage turned out to be, for the log and `wasmilter check`.
#[derive(Debug, Clone, Serialize)]
pub struct StageSummary {
    /// Name of the stage.
    pub name: String,
    /// The plugin as configured.
    pub plugin: String,
    /// The plugin's file, or its reference in a registry.
    pub file: PathBuf,
    /// How the plugin calls itself, with its version.
    pub version: String,
    /// `message` or `worker`.
    pub isolation: &'static str,
    /// What a message's instance begins as: `snapshot`; without one `prepared` (configured ahead of time) or `plain` (configured
    /// while the message waits); `worker`.
    pub started_from: &'static str,
    /// The same in words.
    pub start: &'static str,
    /// Why no snapshot could be taken.
    pub no_snapshot: Option<String>,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// Compiled code and initial memory, in bytes.
    pub image_bytes: usize,
    /// What it may reach.
    pub grants: Vec<String>,
}

/// All stages, ready to run, and what the next configuration may keep of them.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) stages: Vec<Stage>,
    pub(crate) routes: Vec<Route>,
    pub(crate) summaries: Vec<StageSummary>,
    /// What is worth a look.
    pub(crate) warnings: Vec<Warning>,
    /// Plugins, configuration and files that a change of would change the stages.
    pub(crate) files: Vec<PathBuf>,
    plugins: Vec<(Recipe, Plugin)>,
    components: BTreeMap<Digest, Component>,
}

/// Something about a stage that is allowed and most likely not meant.
pub(crate) struct Warning {
    pub(crate) at: Spot,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// All that makes a prepared plugin what it is: with the same recipe, in the same sandbox with the same world outside, it is
/// the same plugin.
#[derive(PartialEq)]
struct Recipe {
    name: String,
    digest: Digest,
    config: String,
    grants: Grants,
    limits: Limits,
    isolation: Isolation,
}

/// What plugins are prepared with.
pub(crate) struct Ground<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) outside: &'a Outside,
    /// Of the configuration before this one: its components, when the sandbox is the same …
    pub(crate) components: Option<&'a Prepared>,
    /// … and its plugins, when the world outside is the same as well.
    pub(crate) plugins: Option<&'a Prepared>,
}

/// Prepares all stages. Those with mistakes are left out. Blocks: plugins may have to be compiled.
pub(crate) fn prepare(config: &Config, ground: &Ground<'_>, mistakes: &mut Diagnostics) -> Prepared {
    let mut prepared = Prepared::default();
    for configured in &config.stages {
        let conditions = compile_conditions(configured, config.local.as_ref(), mistakes);
        let expanded = expand(&configured.config, &config.source, mistakes);
        prepared
            .files
            .extend(configured.config.insertions.iter().map(|(_, file)| config.source.resolve(file.value.path())));
        let Some((file, digest, component)) = load(configured, config, ground, &mut prepared, mistakes) else {
            continue;
        };
        let fits = hold_against_schema(configured, &component, &expanded, mistakes);
        let recipe = Recipe {
            name: configured.name.clone(),
            digest,
            config: expanded.json.to_string(),
            grants: configured.grants.clone(),
            limits: configured.limits,
            isolation: configured.isolation,
        };
        let Some(plugin) = plugin(configured, &component, &recipe, ground, &expanded, &fits, mistakes) else {
            continue;
        };
        prepared.warnings.extend(warnings(configured, &plugin));
        let summary = summary(configured, file, &plugin);
        prepared.plugins.push((recipe, plugin.clone()));
        if let Some((when, unless)) = conditions {
            prepared.stages.push(assemble(configured, when, unless, Arc::new(plugin)));
            prepared.summaries.push(summary);
        }
    }
    prepare_routes(config, &mut prepared, mistakes);
    prepared
}

impl Prepared {
    /// What a pipeline is made of.
    pub(crate) fn plan(&self) -> Plan {
        Plan { stages: self.stages.clone(), routes: self.routes.clone() }
    }
}

fn prepare_routes(config: &Config, prepared: &mut Prepared, mistakes: &mut Diagnostics) {
    for route in &config.routes {
        let Some(when) = compile(route.when.as_ref(), config.local.as_ref(), mistakes) else { continue };
        let stages = route.stages.iter().map(|stage| Arc::from(stage.value.as_str())).collect();
        prepared.routes.push(Route { name: Arc::from(route.name.as_str()), when, stages });
    }
    let is_taken = |name: &str| config.routes.iter().flat_map(|route| &route.stages).any(|stage| stage.value == name);
    let idle = config.stages.iter().filter(|stage| !config.routes.is_empty() && !is_taken(&stage.name));
    prepared.warnings.extend(idle.map(|stage| Warning {
        at: stage.at.clone(),
        message: format!("the stage {} is in no route: it never runs", stage.name),
        help: None,
    }));
}

/// The plugin of a recipe: that of the configuration before this one, or a new one. None when it has mistakes, which are told.
fn plugin(
    configured: &Configured,
    component: &Component,
    recipe: &Recipe,
    ground: &Ground<'_>,
    expanded: &Expanded,
    fits: &Fits,
    mistakes: &mut Diagnostics,
) -> Option<Plugin> {
    let same = ground.plugins.and_then(|before| before.plugins.iter().find(|(other, _)| other == recipe));
    if let Some((_, plugin)) = same {
        return Some(plugin.clone());
    }
    let prepare = |grants: &Grants| {
        let settings = StageSettings {
            stage: Arc::from(recipe.name.as_str()),
            config: recipe.config.clone(),
            grants: grants.clone(),
            limits: recipe.limits,
            isolation: recipe.isolation,
        };
        ground.sandbox.prepare(component, settings, ground.outside)
    };
    match prepare(&configured.grants) {
        Ok(plugin) => Some(plugin),
        Err(error) => {
            // The plugin is asked about its own settings all the same, in a stage that will not run.
            let more = error.with_missing(&configured.grants).and_then(|grants| prepare(&grants).err());
            for error in [Some(error), more].into_iter().flatten() {
                explain(error, configured, component, expanded, fits, mistakes);
            }
            None
        }
    }
}

/// Where the settings do not fit the plugin's schema, by JSON pointer.
struct Fits(Vec<String>);

/// Holds the settings against the plugin's schema, and tells what does not fit.
fn hold_against_schema(
    configured: &Configured,
    component: &Component,
    expanded: &Expanded,
    mistakes: &mut Diagnostics,
) -> Fits {
    let info = &component.inspection().info;
    match schema::violations(&info.config_schema, &expanded.json) {
        Ok(violations) => {
            let violations = violations.into_iter().filter(|violation| !expanded.is_unread(&violation.path));
            let told = violations.map(|violation| {
                mistakes.add(&configured.config.spot(&violation.path), violation.message, None);
                violation.path
            });
            Fits(told.collect())
        }
        Err(reason) => {
            let at = configured.plugin.as_ref().map_or(&configured.at, |plugin| &plugin.at);
            let message = format!("the schema of the plugin's configuration {reason}");
            mistakes.add(at, message, Some(format!("this is a mistake of the plugin {} {}", info.name, info.version)));
            Fits(Vec::new())
        }
    }
}

/// None when one of them is wrong.
fn compile_conditions(
    configured: &Configured,
    local: Option<&Arc<Local>>,
    mistakes: &mut Diagnostics,
) -> Option<(Option<Condition>, Option<Condition>)> {
    let when = compile(configured.when.as_ref(), local, mistakes);
    let unless = compile(configured.unless.as_ref(), local, mistakes);
    Some((when?, unless?))
}

/// The condition, if one is written; None when it is wrong.
fn compile(
    source: Option<&Located<String>>,
    local: Option<&Arc<Local>>,
    mistakes: &mut Diagnostics,
) -> Option<Option<Condition>> {
    let Some(source) = source else { return Some(None) };
    match Condition::compile(&source.value, local) {
        Ok(condition) => Some(Some(condition)),
        Err(error) => {
            mistakes.add_inside(source, error.offset, error.message, None);
            None
        }
    }
}

/// The stage's plugin, compiled once however many stages use it.
fn load(
    configured: &Configured,
    config: &Config,
    ground: &Ground<'_>,
    prepared: &mut Prepared,
    mistakes: &mut Diagnostics,
) -> Option<(PathBuf, Digest, Component)> {
    let plugin = configured.plugin.as_ref()?;
    let obtained = match origin::obtain(configured, plugin, config) {
        Ok(obtained) => obtained,
        Err(refused) => {
            mistakes.add(&refused.at, refused.message, refused.help);
            return None;
        }
    };
    let Obtained { from, component, digest, files } = obtained;
    prepared.files.extend(files);
    let known = prepared.components.get(&digest).or_else(|| ground.components?.components.get(&digest));
    let loaded = match known {
        Some(component) => Ok(component.clone()),
        None => ground.sandbox.load_bytes(&from.display().to_string(), &component),
    };
    match loaded {
        Ok(component) => {
            prepared.components.insert(digest, component.clone());
            Some((from, digest, component))
        }
        Err(error) => {
            mistakes.add(&plugin.at, error.to_string(), None);
            None
        }
    }
}

/// Puts what the sandbox says at the place in the configuration that can change it. What the schema has said already is not said
/// again.
fn explain(
    error: PrepareError,
    configured: &Configured,
    component: &Component,
    expanded: &Expanded,
    fits: &Fits,
    mistakes: &mut Diagnostics,
) {
    match error {
        PrepareError::MissingGrants(missing) => {
            let declared = &component.inspection().info.grants;
            let help = format!("write {}", grants_line(&configured.grants, &missing, declared));
            mistakes.add(&configured.grants_at, format!("the plugin needs {}", missing.join(", ")), Some(help));
        }
        PrepareError::Config(problems) => {
            // Of the settings as a whole a plugin says what the schema has said at the key: that it could not read them.
            let said = |path: &str| fits.0.iter().any(|known| known == path) || (path.is_empty() && !fits.0.is_empty());
            let news = |path: &str| !expanded.is_unread(path) && !said(path);
            for problem in problems.into_iter().filter(|problem| news(&problem.path)) {
                mistakes.add(&configured.config.spot(&problem.path), problem.message, None);
            }
        }
        // With settings that do not fit its schema, a plugin may do anything.
        _ if !fits.0.is_empty() => {}
        other => {
            let at = configured.plugin.as_ref().map_or(&configured.at, |plugin| &plugin.at);
            mistakes.add(at, other.to_string(), None);
        }
    }
}

/// The line to write in place of the stage's grants. Where one of several will do (`text or attachments`), the one that the
/// plugin declares.
fn grants_line(given: &Grants, missing: &[String], declared: &[String]) -> String {
    let mut all = given.clone();
    for any in missing {
        let mut choices = any.split(" or ").peekable();
        let first = choices.peek().copied().unwrap_or_default();
        let chosen = choices.find(|choice| declared.iter().any(|grant| grant == choice)).unwrap_or(first);
        if let Err(reason) = all.add(chosen) {
            tracing::warn!(grant = chosen, reason, "a plugin needs a grant that can not be given");
        }
    }
    let quoted: Vec<String> = all.names().iter().map(|name| format!("{name:?}")).collect();
    format!("grants = [{}]", quoted.join(", "))
}

/// What is allowed and most likely not meant.
fn warnings(configured: &Configured, plugin: &Plugin) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let given = configured.grants.names();
    let info = plugin.info();
    let without: Vec<String> = info.grants.iter().filter(|grant| !covers(&given, grant)).cloned().collect();
    if !without.is_empty() {
        warnings.push(Warning {
            at: configured.grants_at.clone(),
            message: format!("the plugin could make use of {}, which the stage does not grant", without.join(", ")),
            help: None,
        });
    }
    if let StartedFrom::Prepared | StartedFrom::Plain = plugin.started_from() {
        let reason = plugin.no_snapshot().unwrap_or("no reason given");
        warnings.push(Warning {
            at: configured.plugin.as_ref().map_or_else(|| configured.at.clone(), |plugin| plugin.at.clone()),
            message: format!("the plugin starts {}: {reason}", plugin.started_from().name()),
            help: Some(plugin.started_from().meaning().to_owned()),
        });
    }
    warnings
}

/// Whether `given` has what a plugin declares: `service:*` is any service.
fn covers(given: &[String], declared: &str) -> bool {
    let has = |name: &str| given.iter().any(|grant| grant == name);
    match declared {
        "body" => has("text") && has("attachments") && has("raw"),
        "store" => given.iter().any(|grant| grant == "store" || grant.starts_with("store:")),
        _ => match declared.strip_suffix('*') {
            Some(prefix) => given.iter().any(|grant| grant.starts_with(prefix)),
            None => has(declared),
        },
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
        group: configured.group.as_ref().map(|group| Arc::from(group.value.as_str())),
        when,
        unless,
        timeout: configured.timeout,
        concurrency: usize::try_from(configured.concurrency).unwrap_or(usize::MAX),
        on_failure: configured.on_failure,
        breaker: configured.breaker,
        mode: configured.mode,
        grants: configured.grants.edits(),
    }
}

fn summary(configured: &Configured, file: PathBuf, plugin: &Plugin) -> StageSummary {
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
        start: plugin.started_from().meaning(),
        no_snapshot: plugin.no_snapshot().map(str::to_owned),
        mode: match configured.mode {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
        },
        image_bytes: plugin.image_bytes(),
        grants: configured.grants.names(),
    }
}
