//! From a component and a stage's settings to a plugin that can be called.

use crate::{
    bindings::exports::wasmilter::policy::lifecycle,
    call::{self, Call, Phase},
    capabilities,
    component::Component,
    failure::classify,
    outside::Outside,
    plugin::{Exports, Image, Plugin, Prepared, StartedFrom},
    sandbox::Sandbox,
    snapshot::{self, Snapshot},
    stage::{Isolation, Stage, StageSettings},
    workshop,
};
use serde::Serialize;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use wasmilter_message::{deadline::Deadline, failure::Failure, grants::Grants};
use wasmtime::component::{InstancePre, Linker};

/// How long `configure` may take. Only once for every start of the host or change of the configuration.
pub(crate) const CONFIGURE: Duration = Duration::from_secs(60);

/// How long loading may take for instances that are configured ahead; the rest follow with the messages.
const FILL: Duration = Duration::from_millis(200);

/// Why a component can not be used by a stage.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It imports what the stage was not granted; `text or attachments` where one of several will do.
    #[error("the plugin needs grants that the stage does not have: {}", .0.join(", "))]
    MissingGrants(Vec<String>),
    /// It imports what this host does not have.
    #[error("the plugin imports what this host does not have: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// It finds mistakes in its configuration.
    #[error("the plugin rejects its configuration: {}", listed(.0))]
    Config(Vec<Problem>),
    /// It did not say whether its configuration is good: trap, time-out, a limit.
    #[error("configuring the plugin: {0}")]
    Configure(Failure),
    /// The stage grants more memory than the sandbox has room for.
    #[error("memory of {wanted} bytes is more than the sandbox allows, {limit}")]
    Memory {
        /// What the stage grants.
        wanted: u64,
        /// `SandboxSettings::memory_max`.
        limit: u64,
    },
    /// Its imports or exports do not have the types of the contract, or its code could not be compiled.
    #[error("the plugin does not fit the contract: {0}")]
    Link(String),
}

/// One mistake in a plugin's configuration, found by the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: JSON pointer (RFC 6901) into the stage's configuration.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl From<lifecycle::Problem> for Problem {
    fn from(problem: lifecycle::Problem) -> Self {
        Self { path: problem.path, message: problem.message }
    }
}

impl PrepareError {
    #[allow(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn link(error: wasmtime::Error) -> Self {
        Self::Link(format!("{error:#}"))
    }

    /// The grants with those that are missing, so that the plugin can be asked about its configuration all the same; None
    /// when that is not what is wrong.
    #[must_use]
    pub fn with_missing(&self, grants: &Grants) -> Option<Grants> {
        let Self::MissingGrants(missing) = self else { return None };
        let mut grants = grants.clone();
        for grant in missing.iter().flat_map(|any| any.split(" or ")) {
            grants.add(grant).ok()?;
        }
        Some(grants)
    }
}

impl Sandbox {
    /// Configures a component for a stage. Blocks, for seconds when a big component is compiled; may be called inside or
    /// outside of a runtime.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn prepare(
        &self,
        component: &Component,
        settings: StageSettings,
        outside: &Outside,
    ) -> Result<Plugin, PrepareError> {
        let inspection = component.inspection();
        if !inspection.unknown_imports.is_empty() {
            return Err(PrepareError::UnknownImports(inspection.unknown_imports.clone()));
        }
        let lacking = |any: &&&[&str]| !any.iter().any(|grant| has(&settings.grants, grant));
        let missing: Vec<String> = component.needs().iter().filter(lacking).map(|any| any.join(" or ")).collect();
        if !missing.is_empty() {
            return Err(PrepareError::MissingGrants(missing));
        }
        if settings.limits.memory > self.memory_max() {
            return Err(PrepareError::Memory { wanted: settings.limits.memory, limit: self.memory_max() });
        }
        let prepared = workshop::run(|| prepare(self, component, settings, outside.clone()));
        prepared.unwrap_or_else(|reason| Err(PrepareError::Link(reason)))
    }
}

async fn prepare(
    sandbox: &Sandbox,
    component: &Component,
    settings: StageSettings,
    outside: Outside,
) -> Result<Plugin, PrepareError> {
    let StageSettings { stage: name, config, grants, limits, isolation } = settings;
    let space = grants.store.as_ref().map(|store| store.space(&name));
    let stage = Arc::new(Stage { name, grants, limits, outside, space, bodies: sandbox.bodies() });
    let linker = capabilities::linker(sandbox.engine(), &stage.grants).map_err(PrepareError::link)?;

    let taken = snapshot::take(sandbox, &linker, &stage, &config, component.bytes()).await?;
    let started = match taken {
        Snapshot::Taken(wasm) => start_once(sandbox, &linker, &stage, &wasm).await,
        Snapshot::Impossible(reason) => Err(reason),
    };
    let (image, pre, no_snapshot) = match started {
        Ok(pre) => (Image::Configured, pre, None),
        Err(reason) => {
            let compiled = sandbox.compile(component.bytes()).map_err(PrepareError::link)?;
            let pre = linker.instantiate_pre(&compiled).map_err(PrepareError::link)?;
            (Image::Plain { config }, pre, Some(reason))
        }
    };
    let started_from = match (&isolation, &image) {
        (Isolation::Worker { .. }, _) => StartedFrom::Worker,
        (Isolation::Message, Image::Configured) => StartedFrom::Snapshot,
        (Isolation::Message, Image::Plain { .. }) => StartedFrom::Prepared,
    };

    let inspection = component.inspection();
    let exports = Exports::find(&pre, inspection.phases).map_err(PrepareError::link)?;
    let mut needs = inspection.phases;
    // Who was granted something may change it without ever reading it.
    needs.body = needs.message && stage.grants.content();
    needs.headers = needs.body || needs.message && stage.grants.headers;
    let mut prepared = Prepared {
        sandbox: sandbox.clone(),
        info: inspection.info.clone(),
        needs,
        stage,
        image,
        pre,
        exports,
        isolation,
        started_from,
        no_snapshot,
        idle: std::sync::Mutex::default(),
        preparing: AtomicBool::new(false),
    };
    if started_from == StartedFrom::Prepared && !fill(&prepared).await {
        prepared.started_from = StartedFrom::Plain;
    }
    Ok(Plugin::new(prepared))
}

/// Configures the first instances ahead of time. False when not even one could be.
async fn fill(prepared: &Prepared) -> bool {
    let start = Instant::now();
    if !prepared.prepare_one().await {
        return false;
    }
    while start.elapsed() < FILL && prepared.prepare_one().await {}
    true
}

/// Compiles the snapshot and starts one instance of it, so that a snapshot that does not start is noticed now: some
/// runtimes refuse to start twice.
async fn start_once(
    sandbox: &Sandbox,
    linker: &Linker<Call>,
    stage: &Arc<Stage>,
    wasm: &[u8],
) -> Result<InstancePre<Call>, String> {
    let words = |error: wasmtime::Error| format!("{error:#}");
    let pre = linker.instantiate_pre(&sandbox.compile(wasm).map_err(words)?).map_err(words)?;
    let _running = sandbox.run_clock();
    // Only now: compiling a large plugin takes longer than any guest may.
    let deadline = Deadline::after(CONFIGURE);
    let call = Call::new(Arc::clone(stage), Phase::Configure { touched: false }, deadline);
    let mut store = call::store(sandbox.engine(), call);
    let started = tokio::time::timeout_at(deadline.instant().into(), pre.instantiate_async(&mut store)).await;
    match started {
        Ok(Ok(_)) => Ok(pre),
        Ok(Err(error)) => Err(format!("starting from the snapshot: {}", classify(&error, &store.data().memory))),
        Err(_) => Err("starting from the snapshot took too long".to_owned()),
    }
}

fn has(grants: &Grants, grant: &str) -> bool {
    match grant {
        "envelope" => grants.envelope,
        "headers" => grants.headers,
        "text" => grants.text,
        "attachments" => grants.attachments,
        "raw" => grants.raw,
        "dns" => grants.dns,
        "store" => grants.store.is_some(),
        "clock" => grants.clock,
        "random" => grants.random,
        _ => false,
    }
}

fn listed(problems: &[Problem]) -> String {
    let listed: Vec<String> = problems
        .iter()
        .map(|problem| match problem.path.as_str() {
            "" => problem.message.clone(),
            path => format!("{path} {}", problem.message),
        })
        .collect();
    listed.join("; ")
}
