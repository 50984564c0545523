//! What a configuration makes, and a reload replaces: spool, sandbox, what lies outside of it, stages. What did not change
//! between two configurations is the same part in both.

use crate::{
    app::{BuildError, Process},
    config::{
        Config, Log, Service,
        diagnostic::Diagnostics,
        source::{Source, Spot},
    },
    stages::{self, Ground, Prepared},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use wasmilter_message::{body::BodyStore, dns::Dns, grants::Grants, service::Services, store::Store};
use wasmilter_pipeline::Limits;
use wasmilter_services::{KeyValueStore, NamedServices, Resolver, ResolverSettings, ServiceSettings, StoreSettings};
use wasmilter_spool::{Spool, SpoolSettings};
use wasmilter_wasm::{Outside, Sandbox, SandboxError, SandboxSettings};

/// The parts that one configuration asks for. Nothing of them runs yet.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) bodies: Made<SpoolKey, Arc<dyn BodyStore>>,
    pub(crate) prepared: Prepared,
    pub(crate) warnings: Diagnostics,
    services: Made<BTreeMap<String, ServiceSettings>, Arc<dyn Services>>,
    dns: Option<Made<ResolverSettings, Arc<dyn Dns>>>,
    store: Option<Arc<KeyValueStore>>,
    outside: Outside,
    /// Keeps the engine's clock for as long as stages may run.
    sandbox: Made<SandboxKey, Sandbox>,
}

/// A part and what it was made from.
pub(crate) struct Made<K, T> {
    key: K,
    pub(crate) part: T,
}

/// What parts are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To take mail.
    Serve,
    /// To look at the configuration, perhaps while a daemon runs by it: what belongs to the daemon is left alone.
    Look,
}

#[derive(Clone, PartialEq)]
pub(crate) struct SpoolKey {
    directory: Option<PathBuf>,
    in_memory: u64,
    all_in_memory: u64,
    max: u64,
}

#[derive(Clone, PartialEq)]
struct SandboxKey {
    slots: u32,
    cache: PathBuf,
    perf_map: bool,
    memory_max: u64,
}

/// However small messages must be, stages can write notices and disclaimers of this size, in bytes.
const ROOM_FOR_CHANGES: u64 = 1 << 20;
/// Calls of the sandbox beyond one for every message in flight: calls that were given up still end.
const SPARE_SLOTS: u32 = 16;
/// Plugins are described in scratch instances that no stage limits.
const LEAST_MEMORY: u64 = 64 << 20;

impl Parts {
    /// Builds every part that the configuration asks for. With `before`, a daemon runs by that: what did not change is taken
    /// from there, and what can not change while it runs is a mistake. Blocks, for seconds when plugins have to be
    /// compiled.
    ///
    /// # Errors
    /// See [`BuildError`]. Mistakes of the text and of what it names are reported together.
    pub(crate) fn build(
        source: &Source,
        process: &Process,
        purpose: Purpose,
        before: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let (config, mut mistakes) = Config::parse(source);
        if let Some(before) = before {
            unchangeable(&before.config, &config, &mut mistakes);
        }

        let bodies = open_spool(&config, before, &mut mistakes);

        let services = name_services(&config, process, before);
        let dns = open_resolver(&config, process, before, &mut mistakes);
        let store = open_store(&config, process, purpose, before, &mut mistakes);
        let outside = outside(&process.nothing, &services, dns.as_ref(), store.as_ref());

        let sandbox = open_sandbox(&config, &bodies.part, before)?;

        let same_sandbox =
            before.filter(|before| Arc::ptr_eq(&before.bodies.part, &bodies.part) && before.sandbox.key == sandbox.key);
        let ground = Ground {
            sandbox: &sandbox.part,
            outside: &outside,
            components: same_sandbox.map(|before| &before.prepared),
            plugins: same_sandbox.filter(|before| same_world(&before.outside, &outside)).map(|before| &before.prepared),
        };
        let mut prepared = stages::prepare(&config, &ground, &mut mistakes);
        let mut warnings = Diagnostics::none(source.clone());
        for warning in prepared.warnings.drain(..) {
            warnings.add(&warning.at, warning.message, warning.help);
        }

        if !mistakes.is_empty() {
            return Err(BuildError::Config(mistakes));
        }
        Ok(Self { config, bodies, prepared, warnings, services, dns, store, outside, sandbox })
    }

    /// These parts are what mail is judged by from now on. The store outlives reloads: its new bound counts from here.
    pub(crate) fn in_force(&self) {
        if let Some(store) = &self.store {
            store.set_entries(u64::from(self.config.store.entries));
        }
    }

    /// What the pipeline takes upon itself.
    pub(crate) fn pipeline_limits(&self) -> Limits {
        Limits {
            in_flight: usize::try_from(self.config.limits.in_flight).unwrap_or(usize::MAX),
            message_deadline: self.config.limits.message_deadline,
            queue_time: self.config.limits.queue_time,
            bodies_in_flight: self.config.limits.bodies_in_flight,
        }
    }

    /// Limits of the milter door.
    pub(crate) fn milter_settings(&self) -> wasmilter_milter::Settings {
        let limits = &self.config.limits;
        wasmilter_milter::Settings {
            message_size: limits.message_size,
            idle: self.config.milter.idle_timeout,
            // The pipeline keeps the deadline; the door is only there should it not.
            judgement: limits.message_deadline.saturating_add(Duration::from_secs(10)),
            drain: limits.shutdown,
            ..wasmilter_milter::Settings::default()
        }
    }

    /// What plugins run in.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox.part
    }

    /// Names of the stages.
    pub(crate) fn stage_names(&self) -> Vec<String> {
        self.prepared.summaries.iter().map(|summary| summary.name.clone()).collect()
    }
}

/// What a running daemon can not change: its listeners and threads stand, and the process has one log.
fn unchangeable(before: &Config, after: &Config, mistakes: &mut Diagnostics) {
    let mut fixed = |at: &Spot, key: &str, was: String| {
        let message = format!("can not be changed while the daemon runs, {key} was {was}");
        mistakes.add(at, message, Some("restart the daemon to change it".to_owned()));
    };
    let addresses = |config: &Config| -> Vec<String> {
        config.milter.listen.iter().map(|address| address.value.to_string()).collect()
    };
    if let Some(first) = after.milter.listen.first()
        && addresses(before) != addresses(after)
    {
        fixed(&first.at, "milter.listen", addresses(before).join(", "));
    }
    let admin = |config: &Config| config.admin.as_ref().map(|admin| admin.listen.value);
    if admin(before) != admin(after) {
        let at =
            after.admin.as_ref().map_or_else(|| Config::spot_of_whole("admin.listen"), |admin| admin.listen.at.clone());
        fixed(&at, "admin.listen", admin(before).map_or_else(|| "not there".to_owned(), |address| address.to_string()));
    }
    if before.limits.workers != after.limits.workers {
        fixed(&after.limits.workers_at, "limits.workers", before.limits.workers.to_string());
    }
    let telemetry = |config: &Config| {
        let telemetry = &config.telemetry;
        (telemetry.otlp.as_ref().map(|otlp| otlp.value.clone()), telemetry.sampling.to_bits())
    };
    if telemetry(before) != telemetry(after) {
        let was = before.telemetry.otlp.as_ref().map_or("not there", |otlp| otlp.value.as_str());
        fixed(&after.telemetry.at, "telemetry.otlp", format!("{was}, sampling {}", before.telemetry.sampling));
    }
    let log = |Log { format, level, .. }: &Log| (*format, level.clone());
    if log(&before.log) != log(&after.log) {
        fixed(&after.log.at, "log", format!("{:?} at {:?}", before.log.format, before.log.level).to_lowercase());
    }
}

fn open_spool(
    config: &Config,
    before: Option<&Parts>,
    mistakes: &mut Diagnostics,
) -> Made<SpoolKey, Arc<dyn BodyStore>> {
    let key = SpoolKey {
        directory: config.spool.directory.as_ref().map(|directory| directory.value.clone()),
        in_memory: config.limits.body_in_memory,
        all_in_memory: config.limits.bodies_in_memory,
        // What a stage makes of a message may be larger: encrypted, it grows by more than a third.
        max: config.limits.message_size.saturating_mul(2).max(ROOM_FOR_CHANGES),
    };
    if let Some(same) = before.map(|before| &before.bodies).filter(|bodies| bodies.key == key) {
        return Made { key, part: Arc::clone(&same.part) };
    }
    let settings = SpoolSettings {
        directory: key.directory.clone(),
        in_memory: key.in_memory,
        all_in_memory: key.all_in_memory,
        max: key.max,
    };
    let part: Arc<dyn BodyStore> = match Spool::open(settings) {
        Ok(spool) => Arc::new(spool),
        Err(error) => {
            let written = config.spool.directory.as_ref().map(|directory| directory.at.clone());
            mistakes.add(&written.unwrap_or_else(|| Config::spot_of_whole("spool.directory")), error.to_string(), None);
            Arc::new(wasmilter_message::body::InMemory)
        }
    };
    Made { key, part }
}

fn name_services(
    config: &Config,
    process: &Process,
    before: Option<&Parts>,
) -> Made<BTreeMap<String, ServiceSettings>, Arc<dyn Services>> {
    let settings = |service: &Service| ServiceSettings {
        address: service.address.clone(),
        timeout: service.timeout,
        connections: usize::try_from(service.connections).unwrap_or(usize::MAX),
    };
    let key: BTreeMap<_, _> = config.services.iter().map(|(name, service)| (name.clone(), settings(service))).collect();
    let part = match before.map(|before| &before.services).filter(|services| services.key == key) {
        Some(same) => Arc::clone(&same.part),
        None => Arc::new(NamedServices::with_metrics(key.clone(), &process.service_metrics)),
    };
    Made { key, part }
}

/// None when no stage may ask.
fn open_resolver(
    config: &Config,
    process: &Process,
    before: Option<&Parts>,
    mistakes: &mut Diagnostics,
) -> Option<Made<ResolverSettings, Arc<dyn Dns>>> {
    granted(config, |grants| grants.dns).then_some(())?;
    let key = ResolverSettings {
        servers: config.dns.servers.clone(),
        timeout: config.dns.timeout,
        cache: u64::from(config.dns.cache),
    };
    if let Some(same) = before.and_then(|before| before.dns.as_ref()).filter(|dns| dns.key == key) {
        return Some(Made { key, part: Arc::clone(&same.part) });
    }
    match Resolver::with_metrics(&key, &process.resolver_metrics) {
        Ok(resolver) => Some(Made { key, part: Arc::new(resolver) }),
        Err(error) => {
            mistakes.add(
                &config.dns.at,
                error.to_string(),
                Some("name them: [dns] servers = [\"192.0.2.53\"]".to_owned()),
            );
            None
        }
    }
}

/// None when no stage may remember anything.
fn open_store(
    config: &Config,
    process: &Process,
    purpose: Purpose,
    before: Option<&Parts>,
    mistakes: &mut Diagnostics,
) -> Option<Arc<KeyValueStore>> {
    granted(config, |grants| grants.store.is_some()).then_some(())?;
    // A file is opened by one process at a time, and a trial must not be remembered.
    let file = config.store.file.as_ref().filter(|_| purpose == Purpose::Serve);
    let path = file.map(|file| file.value.clone());
    let same = |store: &&Arc<KeyValueStore>| store.file() == path.as_deref();
    if let Some(same) = before.and_then(|before| before.store.as_ref()).filter(same) {
        return Some(Arc::clone(same));
    }
    let settings = StoreSettings { file: path.clone(), entries: u64::from(config.store.entries) };
    match KeyValueStore::with_metrics(&settings, &process.store_metrics) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) => {
            let at = file.map_or_else(|| Config::spot_of_whole("store"), |file| file.at.clone());
            mistakes.add(&at, error.to_string(), None);
            None
        }
    }
}

fn granted(config: &Config, grant: impl Fn(&Grants) -> bool) -> bool {
    config.stages.iter().any(|stage| grant(&stage.grants))
}

fn outside(
    nothing: &Outside,
    services: &Made<BTreeMap<String, ServiceSettings>, Arc<dyn Services>>,
    dns: Option<&Made<ResolverSettings, Arc<dyn Dns>>>,
    store: Option<&Arc<KeyValueStore>>,
) -> Outside {
    let mut outside = Outside { services: Arc::clone(&services.part), ..nothing.clone() };
    if let Some(dns) = dns {
        outside.dns = Arc::clone(&dns.part);
    }
    if let Some(store) = store {
        outside.store = Arc::clone(store) as Arc<dyn Store>;
    }
    outside
}

/// Whether plugins that were prepared with one of them do not notice that it is the other now. What no stage was granted is nothing
/// in both.
fn same_world(before: &Outside, after: &Outside) -> bool {
    let same = |a: *const (), b: *const ()| std::ptr::eq(a, b);
    same(Arc::as_ptr(&before.services).cast(), Arc::as_ptr(&after.services).cast())
        && same(Arc::as_ptr(&before.dns).cast(), Arc::as_ptr(&after.dns).cast())
        && same(Arc::as_ptr(&before.store).cast(), Arc::as_ptr(&after.store).cast())
}

fn open_sandbox(
    config: &Config,
    bodies: &Arc<dyn BodyStore>,
    before: Option<&Parts>,
) -> Result<Made<SandboxKey, Sandbox>, SandboxError> {
    let most = config.stages.iter().map(|stage| stage.limits.memory).max().unwrap_or(LEAST_MEMORY);
    let wanted = SandboxKey {
        slots: config.limits.in_flight.saturating_add(SPARE_SLOTS),
        cache: config.sandbox.cache.clone(),
        perf_map: config.sandbox.perf_map,
        memory_max: most.max(LEAST_MEMORY),
    };
    let suits = |before: &&Parts| {
        let key = &before.sandbox.key;
        Arc::ptr_eq(&before.bodies.part, bodies)
            && key.slots == wanted.slots
            && key.cache == wanted.cache
            && key.perf_map == wanted.perf_map
            && key.memory_max >= wanted.memory_max
    };
    if let Some(before) = before.filter(suits) {
        return Ok(Made { key: before.sandbox.key.clone(), part: before.sandbox.part.clone() });
    }
    let settings = SandboxSettings {
        slots: wanted.slots,
        cache: Some(wanted.cache.clone()),
        perf_map: wanted.perf_map,
        memory_max: wanted.memory_max,
        bodies: Arc::clone(bodies),
        ..SandboxSettings::default()
    };
    let part = match Sandbox::new(&settings) {
        // A cache saves time and nothing else: its loss is no reason not to take mail.
        Err(error @ SandboxError::Cache { .. }) => {
            tracing::warn!(%error, "plugins are compiled anew at every start");
            Sandbox::new(&SandboxSettings { cache: None, ..settings })?
        }
        other => other?,
    };
    Ok(Made { key: wanted, part })
}
