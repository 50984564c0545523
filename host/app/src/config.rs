//! The configuration file: what it may say, what each value changes, and what it is when nothing is said.
//!
//! Reading has two steps. [`Config::parse`] looks at the text alone. [`crate::stages::prepare`] then looks at what the text
//! names: plugins, files, conditions, the plugins' own settings. Both note every mistake and go on, so that people hear
//! of all of them at once.

pub mod diagnostic;
pub(crate) mod expand;
mod reader;
pub mod settings;
pub mod source;
pub mod units;

use crate::config::{
    diagnostic::Diagnostics,
    reader::Reader,
    settings::Settings,
    source::{Located, Source, Spot},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toml::de::DeTable;
use wasmilter_message::grants::Grants;
use wasmilter_milter::Address;
use wasmilter_pipeline::{BreakerSettings, Local, Mode, OnFailure};
use wasmilter_registry::{Digest, PublicKey};
use wasmilter_services::ServiceAddress;
use wasmilter_wasm::{Isolation, Limits as StageLimits};

pub(crate) use reader::nearest;

/// `wasmilter.toml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub source: Source,
    /// `[milter]`: where mail servers connect.
    pub milter: Milter,
    /// `[admin]`: the HTTP address for metrics and health. None: no such address.
    pub admin: Option<Admin>,
    /// `[limits]`: what the host takes on at once.
    pub limits: Limits,
    /// `[services.NAME]`: network services that stages can be granted.
    pub services: BTreeMap<String, Service>,
    /// `[dns]`: who is asked for stages with the grant `dns`.
    pub dns: Dns,
    /// `[store]`: what stages with a grant `store` remember.
    pub store: Store,
    /// `[reload]`: when the configuration is read again.
    pub reload: Reload,
    /// `[telemetry]`: where spans go.
    pub telemetry: Telemetry,
    /// `[plugins]`: where bundled plugins are found.
    pub plugins: Plugins,
    /// `[registries."HOST"]`: how to speak to the registries that plugins come from.
    pub registries: BTreeMap<String, Registry>,
    /// `[keys.NAME]`: keys by which plugins may have to be signed.
    pub keys: BTreeMap<String, PublicKey>,
    /// `[sandbox]`: how plugins are run.
    pub sandbox: Sandbox,
    /// `[spool]`: where large bodies are kept while in flight.
    pub spool: Spool,
    /// `[log]`: the host's log.
    pub log: Log,
    /// `[[stage]]`, in order.
    pub stages: Vec<Stage>,
    /// `[local]`: what is inside, for the `direction` of conditions. None: not said.
    pub local: Option<Arc<Local>>,
    /// `[[route]]`, in order. Without one every message takes all stages.
    pub routes: Vec<Route>,
}

/// `[[route]]`: the stages that some messages take.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where it was written.
    pub at: Spot,
    /// `name`: unique; in the trace and the log. Required.
    pub name: String,
    /// `when`: the messages that take it. Required but for the last, which takes all that no other took.
    pub when: Option<Located<String>>,
    /// `stages`: names of its stages, in order; none: the message is accepted as it is. Required.
    pub stages: Vec<Located<String>>,
}

/// `[milter]`.
#[derive(Debug, Clone)]
pub struct Milter {
    /// `listen`: one address or a list: `unix:/path`, `inet:HOST:PORT`, `inet6:[HOST]:PORT`, also Sendmail's `inet:PORT@HOST`. Required.
    pub listen: Vec<Located<Address>>,
    /// `idle_timeout`: a mail server's connection that says nothing for so long is closed. Default `"7210s"`, as libmilter
    /// has it; keep it above the mail server's own limits.
    pub idle_timeout: Duration,
}

/// `[admin]`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`: IP address and port. It shows numbers, no mail; still, keep it where only monitoring can reach it.
    pub listen: Located<SocketAddr>,
}

/// `[limits]`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `in_flight`: messages judged at once; the sender of one more is told to come again later. Default 256.
    pub in_flight: u32,
    /// `queue_time`: how long a message waits for its turn at the processor, and for room, before its sender is told to come again
    /// later. Default `"80ms"`.
    pub queue_time: Duration,
    /// `message_deadline`: time for all stages together; afterwards a temporary failure. Default `"60s"`. Keep it under the
    /// mail server's time limit (Postfix `milter_content_timeout`: 300 s).
    pub message_deadline: Duration,
    /// `message_size`: larger messages are refused for good. Default `"100MB"`.
    pub message_size: u64,
    /// `body_in_memory`: larger bodies go to a file in the spool directory. Default `"8MB"`.
    pub body_in_memory: u64,
    /// `bodies_in_memory`: bodies that are in memory take so much together; what comes when they do goes to files too. Default
    /// `"64MB"`.
    pub bodies_in_memory: u64,
    /// `bodies_in_flight`: bodies above 4 MiB that are judged at once have so many bytes together; one more waits, for half of
    /// `message_deadline` at most. Default `"64MB"`.
    pub bodies_in_flight: u64,
    /// `workers`: threads that judge messages. Default: the processor's cores.
    pub workers: u32,
    /// Where `workers` was written; the table, without it.
    pub workers_at: Spot,
    /// `shutdown`: time for messages in flight when the daemon is told to stop. Default `"30s"`.
    pub shutdown: Duration,
}

/// `[services.NAME]`.
#[derive(Debug, Clone)]
pub struct Service {
    /// `address`: `unix:/path` or `HOST:PORT` (also `inet:HOST:PORT`). Required.
    pub address: ServiceAddress,
    /// `timeout`: for connecting and for each read or write. Default `"30s"`.
    pub timeout: Duration,
    /// `connections`: open at once; one more waits. Default 16.
    pub connections: u32,
}

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// `servers`: recursive name servers, an IP address each, with a port or without. Default: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// `timeout`: for one lookup. Default `"5s"`.
    pub timeout: Duration,
    /// `cache`: answers that are kept. Default 10000.
    pub cache: u32,
    /// Where it was written.
    pub at: Spot,
}

/// `[store]`.
#[derive(Debug, Clone)]
pub struct Store {
    /// `file`: where it is kept. Default: in memory, gone when the process ends.
    pub file: Option<Located<PathBuf>>,
    /// `entries`: values and counters of all stages together. Default 100000.
    pub entries: u32,
}

/// `[telemetry]`.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// `otlp`: URL of an OpenTelemetry collector that takes OTLP over HTTP. None: no spans are made.
    pub otlp: Option<Located<String>>,
    /// `sampling`: part of messages and hooks of which spans are sent, 0 to 1. Default 1.
    pub sampling: f64,
    /// Where the table was written.
    pub at: Spot,
}

/// `[reload]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reload {
    /// `watch`: read the configuration again when it, a plugin or a file that it names changes. Default false: only when told
    /// (SIGHUP, `wasmilter reload`).
    pub watch: bool,
}

/// `[plugins]`.
#[derive(Debug, Clone, Default)]
pub struct Plugins {
    /// `directory`: searched first for plugins that are named without a path. Relative to the file.
    pub directory: Option<PathBuf>,
    /// `fetch_timeout`: for fetching one plugin from a registry. Default `"60s"`.
    pub fetch_timeout: Duration,
}

/// `[registries."HOST[:PORT]"]`; a registry without one is spoken to over TLS, without a login.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// `user`: who logs in. Goes with `password_file`.
    pub user: Option<String>,
    /// `password_file`: a file with the password or access token, relative to the configuration file.
    pub password_file: Option<Located<PathBuf>>,
    /// `authority_file`: certificate (PEM) of an authority to trust beside the system's.
    pub authority_file: Option<Located<PathBuf>>,
    /// `plain_http`: no TLS, for a registry on this machine. Digests and signatures are checked all the same. Default false.
    pub plain_http: bool,
}

/// `[sandbox]`.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// `cache`: directory for compiled plugins; without it every start compiles anew. Default: `$CACHE_DIRECTORY`, otherwise
    /// `$XDG_CACHE_HOME/wasmilter`, otherwise `~/.cache/wasmilter`, otherwise `/var/cache/wasmilter`.
    pub cache: PathBuf,
    /// `perf_map`: writes where the functions of plugins are in memory to `/tmp/perf-PID.map`, so that `perf` names them. Costs nothing
    /// per message; the file grows with every plugin that is loaded, and anybody may read it. Default false.
    pub perf_map: bool,
}

/// `[spool]`.
#[derive(Debug, Clone)]
pub struct Spool {
    /// `directory`: for bodies past `limits.body_in_memory`; files there have no name and vanish with the process. Default:
    /// the system's directory for temporary files.
    pub directory: Option<Located<PathBuf>>,
}

/// `[log]`.
#[derive(Debug, Clone)]
pub struct Log {
    /// `format`: `text` or `json`, one object a line. Default `text`.
    pub format: LogFormat,
    /// `level`: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,wasmilter_milter=debug`. Overridden by
    /// the environment: `WASMILTER_LOG`, then `RUST_LOG`. Default `info`.
    pub level: String,
    /// Where it was written.
    pub at: Spot,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned(), at: Spot::default() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[[stage]]`: one step of the pipeline.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Where it was written.
    pub at: Spot,
    /// `name`: unique; lower case letters, digits, `-`, `_`. In metrics, logs and the names of facts. Required.
    pub name: String,
    /// `plugin`: a bundled plugin's name, a path to a .wasm file, relative to the configuration file, or a plugin in a registry:
    /// `oci://HOST/NAME@sha256:…`. Required; None when
    /// it was wrong.
    pub plugin: Option<Located<String>>,
    /// `digest`: `sha256:…` that the plugin must have.
    pub digest: Option<Located<Digest>>,
    /// `signed_by`: name of the key in `[keys]` by which the plugin must be signed: a file by `FILE.minisig` beside it, one from a
    /// registry by the signature that was pushed with it.
    pub signed_by: Option<Located<String>>,
    /// `group`: stages one after the other with the same group are asked at once, on the same message. Default none.
    pub group: Option<Located<String>>,
    /// `when`: the stage runs only if this condition holds.
    pub when: Option<Located<String>>,
    /// `unless`: the stage runs only if this condition does not hold; with both, `when` is looked at first.
    pub unless: Option<Located<String>>,
    /// `timeout`: for one call of the plugin; afterwards `on_failure`. Default `"10s"`.
    pub timeout: Duration,
    /// `memory`: the most that one instance can use. Default `"64MB"`. With it, `[stage.limits]`: what one call may use of the host;
    /// see `CONFIGURATION.md` for each.
    pub limits: StageLimits,
    /// `concurrency`: calls at once; one more waits. Default 16.
    pub concurrency: u32,
    /// `isolation`: `message`, a fresh instance for every message, or `worker`, an instance that is used again, for up
    /// to 1000 messages and until its first failure. Default `message`.
    pub isolation: Isolation,
    /// `on_failure`: what happens to a message that the plugin gave no decision on: `tempfail`, `skip` (the next stage goes on),
    /// `reject`, `quarantine`, `accept`. Default `tempfail`.
    pub on_failure: OnFailure,
    /// `[stage.breaker]`: when the plugin is paused because it fails again and again: after `failures` in a row (default 5; 0:
    /// never), for `pause` (default `"30s"`), twice as long after each trial that fails, up to `longest_pause` (default `"10m"`).
    pub breaker: BreakerSettings,
    /// `mode`: `enforce`, or `shadow`: what the stage says is recorded and nothing is done. Default `enforce`.
    pub mode: Mode,
    /// `grants`: what the plugin may reach, see [`Grants::KNOWN`]. Default none.
    pub grants: Grants,
    /// Where `grants` was written; where the stage was, without it.
    pub grants_at: Spot,
    /// `[stage.config]`: the plugin's own settings.
    pub config: Settings,
}

impl Config {
    /// Reads a file and looks at its text.
    ///
    /// # Errors
    /// The mistakes of the text; one that says so when the file can not be read.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        let (config, mistakes) = Self::parse(&Source::read(path)?);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Looks at the text alone: opens no file, no plugin, no socket. Whatever the text says there is a configuration, with
    /// defaults in the place of mistakes, so that later checks can go on; it must not be run when there are mistakes.
    #[must_use]
    pub fn parse(source: &Source) -> (Self, Diagnostics) {
        let (document, syntax) = DeTable::parse_recoverable(source.text());
        let problems = RefCell::new(Diagnostics::none(source.clone()));
        let whole = Spot { key: String::new(), span: 0..0 };
        let mut root = Reader::new(Some(document.get_ref()), whole, &problems);

        let limits = Limits::read(root.table("limits"));
        let (services, named) = read_services(&mut root);
        let config = Self {
            milter: Milter::read(root.table("milter")),
            admin: Admin::read(root.table("admin")),
            services,
            dns: Dns::read(root.table("dns")),
            store: Store::read(root.table("store"), source),
            reload: Reload::read(root.table("reload")),
            telemetry: Telemetry::read(root.table("telemetry")),
            plugins: Plugins::read(root.table("plugins"), source),
            registries: read_registries(&mut root, source),
            keys: read_keys(&mut root),
            sandbox: Sandbox::read(root.table("sandbox"), source),
            spool: Spool::read(root.table("spool"), source),
            log: Log::read(root.table("log")),
            stages: read_stages(&mut root, &named),
            local: read_local(root.table("local")),
            routes: root.tables("route").into_iter().map(Route::read).collect(),
            source: source.clone(),
            limits,
        };
        root.finish();
        config.routes_hold(&problems);
        config.one_address_each(&problems);
        let problems = problems.into_inner();
        let problems = if syntax.is_empty() { problems } else { of_syntax(source, &syntax) };
        (config, problems)
    }
}

impl Config {
    /// Mail servers and monitoring can not connect to the same port.
    fn one_address_each(&self, problems: &RefCell<Diagnostics>) {
        let Some(admin) = &self.admin else { return };
        let same = |address: &Address| matches!(address, Address::Inet(milter) if *milter == admin.listen.value);
        if admin.listen.value.port() != 0 && self.milter.listen.iter().any(|milter| same(&milter.value)) {
            let message = format!("{} is where mail servers connect", admin.listen.value);
            problems.borrow_mut().add(&admin.listen.at, message, Some("give it a port of its own".to_owned()));
        }
    }

    /// What routes have to be besides well written: each message takes exactly one, of stages that there are.
    fn routes_hold(&self, problems: &RefCell<Diagnostics>) {
        let mut problems = problems.borrow_mut();
        for (place, route) in self.routes.iter().enumerate() {
            let is_last = place.saturating_add(1) == self.routes.len();
            if self.routes.iter().take(place).any(|other| other.name == route.name) {
                problems.add(&route.at, format!("another route has the name {:?}", route.name), None);
            }
            match (&route.when, is_last) {
                (Some(when), true) => {
                    let help = "add a [[route]] without `when`; with stages = [] it accepts them as they are";
                    problems.add(
                        &when.at,
                        "the last route must take all messages that no other took",
                        Some(help.to_owned()),
                    );
                }
                (None, false) => {
                    let help = "only the last route has no `when`".to_owned();
                    problems.add(
                        &route.at,
                        "takes all messages, so that no route after it is ever reached",
                        Some(help),
                    );
                }
                _ => {}
            }
            self.stages_of_route_hold(route, &mut problems);
        }
    }

    fn stages_of_route_hold(&self, route: &Route, problems: &mut Diagnostics) {
        let known: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        let group = |name: &str| {
            let stage = self.stages.iter().find(|stage| stage.name == name)?;
            stage.group.as_ref().map(|group| group.value.as_str())
        };
        for (place, stage) in route.stages.iter().enumerate() {
            let before = || route.stages.iter().take(place);
            if !known.contains(&stage.value.as_str()) {
                let help = nearest(&stage.value, &known).map(|near| format!("did you mean {near:?}?"));
                problems.add(&stage.at, format!("there is no stage {:?}", stage.value), help);
            } else if before().any(|other| other.value == stage.value) {
                problems.add(&stage.at, format!("the stage {:?} is listed twice", stage.value), None);
            } else if let Some(own) = group(&stage.value)
                && before().any(|other| group(&other.value) == Some(own))
                && before().next_back().is_some_and(|other| group(&other.value) != Some(own))
            {
                problems.add(
                    &stage.at,
                    format!("the stages of the group {own:?} must stand one after the other"),
                    None,
                );
            }
        }
    }

    /// The place of a key that was not written: the file as a whole.
    pub(crate) fn spot_of_whole(key: &str) -> Spot {
        Spot { key: key.to_owned(), span: 0..0 }
    }
}

/// With broken syntax the rest of the file may have been read as something else: only the syntax is worth talking about.
fn of_syntax(source: &Source, errors: &[toml::de::Error]) -> Diagnostics {
    let mut problems = Diagnostics::none(source.clone());
    for error in errors {
        let at = Spot { key: String::new(), span: error.span().unwrap_or(0..0) };
        problems.add(&at, format!("not TOML: {}", error.message().trim().replace('\n', ", ")), None);
    }
    problems
}

impl Milter {
    fn read(mut table: Reader<'_>) -> Self {
        let listen = match table.texts("listen", true) {
            Some(texts) if texts.is_empty() => {
                table.missing("listen", "name at least one address");
                Vec::new()
            }
            Some(texts) => texts.iter().filter_map(|text| read_address(&table, text)).collect(),
            None => {
                if !table.has("listen") {
                    table
                        .missing("listen", "say where mail servers connect: [milter] listen = \"inet:127.0.0.1:8891\"");
                }
                Vec::new()
            }
        };
        for (place, address) in listen.iter().enumerate() {
            if listen.iter().take(place).any(|earlier| earlier.value == address.value) {
                table.wrong(&address.at, format!("{} is listed twice", address.value), None);
            }
        }
        let milter = Self { listen, idle_timeout: table.duration("idle_timeout", secs(1)..secs(86_400), secs(7_210)) };
        table.finish();
        milter
    }
}

fn read_address(table: &Reader<'_>, text: &Located<String>) -> Option<Located<Address>> {
    match text.value.parse::<Address>() {
        Ok(value) => Some(Located { value, at: text.at.clone() }),
        Err(error) => {
            table.wrong(&text.at, error.to_string(), None);
            None
        }
    }
}

impl Admin {
    fn read(mut table: Reader<'_>) -> Option<Self> {
        let listen = table.parsed("listen", "an IP address and port such as \"127.0.0.1:9891\"", |text| {
            text.parse::<SocketAddr>()
                .map_err(|_| format!("must be an IP address and port such as \"127.0.0.1:9891\", is {text:?}"))
        });
        if table.written() && !table.has("listen") {
            table.missing("listen", "say where monitoring connects: listen = \"127.0.0.1:9891\"");
        }
        table.finish();
        Some(Self { listen: listen? })
    }
}

impl Limits {
    fn read(mut table: Reader<'_>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)).min(1_024);
        let limits = Self {
            in_flight: table.number("in_flight", 1..100_000, 256),
            queue_time: table.duration("queue_time", Duration::from_millis(1)..secs(600), Duration::from_millis(80)),
            message_deadline: table.duration("message_deadline", secs(1)..secs(3_600), secs(60)),
            message_size: table.size("message_size", 1_000..MOST_BYTES, 100_000_000),
            body_in_memory: table.size("body_in_memory", 0..MOST_BYTES, 8_000_000),
            bodies_in_memory: table.size("bodies_in_memory", 0..MOST_BYTES, 64_000_000),
            bodies_in_flight: table.size("bodies_in_flight", 1..MOST_BYTES, 64_000_000),
            workers: table.number("workers", 1..1_024, cores),
            workers_at: table.spot_of("workers").unwrap_or_else(|| table.at().clone()),
            shutdown: table.duration("shutdown", secs(0)..secs(3_600), secs(30)),
        };
        table.finish();
        limits
    }
}

/// The services, and the names of all that were written: one whose address is wrong is no second mistake where it is granted.
fn read_services(root: &mut Reader<'_>) -> (BTreeMap<String, Service>, Vec<String>) {
    let (mut services, mut named) = (BTreeMap::new(), Vec::new());
    for (name, table) in root.named_tables("services") {
        if !is_name(&name.value) {
            table.wrong(&name.at, NAME_RULE, None);
        }
        named.push(name.value.clone());
        if let Some(service) = Service::read(table) {
            services.insert(name.value, service);
        }
    }
    (services, named)
}

impl Service {
    /// None when it has no address that can be used.
    fn read(mut table: Reader<'_>) -> Option<Self> {
        let address = table.parsed("address", "an address such as \"unix:/path\" or \"127.0.0.1:3310\"", |text| {
            text.parse::<ServiceAddress>().map_err(|error| error.to_string())
        });
        if table.written() && !table.has("address") {
            table.missing("address", "say where the service is: address = \"unix:/path\" or \"HOST:PORT\"");
        }
        let timeout = table.duration("timeout", Duration::from_millis(1)..secs(3_600), secs(30));
        let connections = table.number("connections", 1..100_000, 16);
        table.finish();
        Some(Self { address: address?.value, timeout, connections })
    }
}

impl Dns {
    fn read(mut table: Reader<'_>) -> Self {
        let servers = table.texts("servers", true).unwrap_or_default();
        let dns = Self {
            servers: servers.iter().filter_map(|text| read_server(&table, text)).collect(),
            timeout: table.duration("timeout", Duration::from_millis(10)..secs(60), secs(5)),
            cache: table.number("cache", 0..10_000_000, 10_000),
            at: table.spot_of("servers").unwrap_or_else(|| table.at().clone()),
        };
        table.finish();
        dns
    }
}

fn read_server(table: &Reader<'_>, text: &Located<String>) -> Option<SocketAddr> {
    let alone = text.value.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    let server = alone.or_else(|_| text.value.parse());
    if server.is_err() {
        let message =
            format!("must be an IP address such as \"192.0.2.53\" or \"192.0.2.53:5353\", is {:?}", text.value);
        table.wrong(&text.at, message, None);
    }
    server.ok()
}

impl Store {
    fn read(mut table: Reader<'_>, source: &Source) -> Self {
        let file = table.text("file").map(|text| Located { value: source.resolve(&text.value), at: text.at });
        let store = Self { file, entries: table.number("entries", 1..100_000_000, 100_000) };
        table.finish();
        store
    }
}

impl Telemetry {
    fn read(mut table: Reader<'_>) -> Self {
        let otlp = table.parsed("otlp", "a URL such as \"http://127.0.0.1:4318\"", |text| {
            let fits = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
            match reqwest::Url::parse(text) {
                Ok(url) if fits(&url) => Ok(text.to_owned()),
                _ => Err(format!("must be a URL such as \"http://127.0.0.1:4318\", is {text:?}")),
            }
        });
        if table.written() && !table.has("otlp") {
            table.missing("otlp", "say where the collector is: otlp = \"http://127.0.0.1:4318\"");
        }
        let telemetry = Self { otlp, sampling: table.part("sampling", 1.0), at: table.at().clone() };
        table.finish();
        telemetry
    }
}

impl Reload {
    fn read(mut table: Reader<'_>) -> Self {
        let reload = Self { watch: table.flag("watch", false) };
        table.finish();
        reload
    }
}

impl Plugins {
    fn read(mut table: Reader<'_>, source: &Source) -> Self {
        let plugins = Self {
            directory: table.text("directory").map(|text| source.resolve(&text.value)),
            fetch_timeout: table.duration("fetch_timeout", secs(1)..secs(3_600), secs(60)),
        };
        table.finish();
        plugins
    }
}

fn read_registries(root: &mut Reader<'_>, source: &Source) -> BTreeMap<String, Registry> {
    let tables = root.named_tables("registries");
    tables.into_iter().map(|(host, table)| (host.value, Registry::read(table, source))).collect()
}

impl Registry {
    fn read(mut table: Reader<'_>, source: &Source) -> Self {
        let file = |text: Located<String>| Located { value: source.resolve(&text.value), at: text.at };
        let registry = Self {
            user: table.text("user").map(|text| text.value),
            password_file: table.text("password_file").map(file),
            authority_file: table.text("authority_file").map(file),
            plain_http: table.flag("plain_http", false),
        };
        match (table.has("user"), table.has("password_file")) {
            (true, false) => {
                table.missing("password_file", "say where the password is: a file that holds nothing else")
            }
            (false, true) => table.missing("user", "say whose password it is"),
            _ => {}
        }
        table.finish();
        registry
    }
}

fn read_keys(root: &mut Reader<'_>) -> BTreeMap<String, PublicKey> {
    let mut keys = BTreeMap::new();
    for (name, mut table) in root.named_tables("keys") {
        if !is_name(&name.value) {
            table.wrong(&name.at, NAME_RULE, None);
        }
        let key = table.parsed("minisign", "a public key such as \"RW…\"", |text| {
            PublicKey::parse(text).map_err(|error| format!("must be a public key: {error}"))
        });
        if table.written() && !table.has("minisign") {
            table.missing("minisign", "give the public key: the second line of minisign.pub");
        }
        table.finish();
        keys.extend(key.map(|key| (name.value, key.value)));
    }
    keys
}

impl Sandbox {
    fn read(mut table: Reader<'_>, source: &Source) -> Self {
        let cache = table.text("cache").map_or_else(default_cache, |text| source.resolve(&text.value));
        let perf_map = table.flag("perf_map", false);
        table.finish();
        Self { cache, perf_map }
    }
}

fn default_cache() -> PathBuf {
    let directory = |variable| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    directory("CACHE_DIRECTORY")
        .or_else(|| directory("XDG_CACHE_HOME").map(|cache| cache.join("wasmilter")))
        .or_else(|| directory("HOME").map(|home| home.join(".cache/wasmilter")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/wasmilter"))
}

impl Spool {
    fn read(mut table: Reader<'_>, source: &Source) -> Self {
        let directory = table.text("directory").map(|text| Located { value: source.resolve(&text.value), at: text.at });
        table.finish();
        Self { directory }
    }
}

impl Log {
    fn read(mut table: Reader<'_>) -> Self {
        let format = table.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)], LogFormat::Text);
        let level = table.parsed("level", "a level such as \"info\"", |text| {
            let wrong = |_| format!("must be error, warn, info, debug, trace or directives such as \"info,wasmilter_milter=debug\", is {text:?}");
            text.parse::<tracing_subscriber::filter::Targets>().map(|_| text.to_owned()).map_err(wrong)
        });
        let at = table.at().clone();
        table.finish();
        Self { format, at, level: level.map_or_else(|| "info".to_owned(), |level| level.value) }
    }
}

fn read_stages(root: &mut Reader<'_>, services: &[String]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let tables = root.tables("stage");
    if tables.is_empty() && !root.has("stage") {
        root.missing("stage", "name at least one stage: [[stage]] with name and plugin");
    }
    for table in tables {
        let stage = Stage::read(table, &stages, services);
        stages.push(stage);
    }
    stages
}

fn read_local(mut table: Reader<'_>) -> Option<Arc<Local>> {
    let mut local = Local::default();
    let written = table.written();
    let mut add = |name: &'static str, add: fn(&mut Local, &str) -> Result<(), String>| {
        for text in table.texts(name, false).unwrap_or_default() {
            if let Err(message) = add(&mut local, &text.value) {
                table.wrong(&text.at, message, None);
            }
        }
    };
    add("domains", Local::add_domain);
    add("networks", Local::add_network);
    table.finish();
    written.then(|| Arc::new(local))
}

impl Route {
    fn read(mut table: Reader<'_>) -> Self {
        let at = table.at().clone();
        let name = table.text("name");
        match &name {
            Some(name) if !is_name(&name.value) => table.wrong(&name.at, NAME_RULE, None),
            None if table.written() && !table.has("name") => {
                table.missing("name", "give the route a name of its own, for the trace and the log");
            }
            _ => {}
        }
        let when = table.text("when");
        let stages = table.texts("stages", false);
        if table.written() && !table.has("stages") {
            table.missing("stages", "list the names of its stages, or [] for none");
        }
        table.finish();
        Self { at, name: name.map_or_else(String::new, |name| name.value), when, stages: stages.unwrap_or_default() }
    }
}

impl Stage {
    fn read(mut table: Reader<'_>, before: &[Self], services: &[String]) -> Self {
        let at = table.at().clone();
        let name = Self::read_name(&mut table, before);
        let plugin = table.text("plugin");
        if table.written() && !table.has("plugin") {
            table.missing("plugin", "name a bundled plugin, or give the path of a .wasm file");
        }
        let digest = table.parsed("digest", "a digest such as \"sha256:…\"", |text| {
            text.parse::<Digest>().map_err(|_| format!("must be sha256: and 64 hexadecimal digits, is {text:?}"))
        });
        let signed_by = table.text("signed_by");
        let group = Self::read_group(&mut table, before);
        let (when, unless) = (table.text("when"), table.text("unless"));
        let timeout = table.duration("timeout", Duration::from_millis(1)..secs(3_600), secs(10));
        let memory = table.size("memory", 1 << 16..1 << 32, 64_000_000);
        let limits = read_limits(table.table("limits"), memory);
        let breaker = read_breaker(table.table("breaker"));
        let concurrency = table.number("concurrency", 1..100_000, 16);
        let worker = Isolation::Worker { messages: MESSAGES_PER_WORKER };
        let isolation =
            table.choice("isolation", &[("message", Isolation::Message), ("worker", worker)], Isolation::Message);
        let on_failure = table.choice(
            "on_failure",
            &[
                ("tempfail", OnFailure::Tempfail),
                ("skip", OnFailure::Skip),
                ("reject", OnFailure::Reject),
                ("quarantine", OnFailure::Quarantine),
                ("accept", OnFailure::Accept),
            ],
            OnFailure::Tempfail,
        );
        let mode = table.choice("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)], Mode::Enforce);
        let (grants, grants_at) = Self::read_grants(&mut table, services);
        let config = Settings::read(table.field("config"), &table);
        table.finish();
        Self {
            at,
            name,
            plugin,
            digest,
            signed_by,
            group,
            when,
            unless,
            timeout,
            limits,
            concurrency,
            isolation,
            on_failure,
            breaker,
            mode,
            grants,
            grants_at,
            config,
        }
    }

    fn read_name(table: &mut Reader<'_>, before: &[Self]) -> String {
        match table.text("name") {
            Some(name) => {
                if !is_name(&name.value) {
                    table.wrong(&name.at, NAME_RULE, None);
                } else if let Some(other) = before.iter().find(|stage| stage.name == name.value) {
                    table.wrong(
                        &name.at,
                        format!("another stage has the name {:?}: {}", name.value, other.at.key),
                        None,
                    );
                }
                name.value
            }
            None => {
                if table.written() && !table.has("name") {
                    table.missing("name", "give the stage a name of its own, for metrics, logs and facts");
                }
                String::new()
            }
        }
    }

    /// A group in two places would be two groups that look like one.
    fn read_group(table: &mut Reader<'_>, before: &[Self]) -> Option<Located<String>> {
        let group = table.text("group")?;
        let is_of = |stage: &&Self| stage.group.as_ref().is_some_and(|other| other.value == group.value);
        if !is_name(&group.value) {
            table.wrong(&group.at, NAME_RULE, None);
        } else if let Some(other) = before.iter().rfind(is_of)
            && !before.last().as_ref().is_some_and(is_of)
        {
            let message =
                format!("the stages of a group stand one after the other, {} is not the one before", other.at.key);
            table.wrong(&group.at, message, Some("move it there, or give it a group of another name".to_owned()));
        }
        Some(group)
    }

    fn read_grants(table: &mut Reader<'_>, services: &[String]) -> (Grants, Spot) {
        let mut grants = Grants::default();
        for text in table.texts("grants", false).unwrap_or_default() {
            if let Err(message) = grants.add(&text.value) {
                let help = if message.starts_with("no such") { nearest_grant(&text.value) } else { None };
                table.wrong(&text.at, message, help);
            } else if let Some(service) = text.value.strip_prefix("service:")
                && !services.iter().any(|known| known == service)
            {
                let names: Vec<&str> = services.iter().map(String::as_str).collect();
                let help = match nearest(service, &names) {
                    Some(near) => format!("did you mean \"service:{near}\"?"),
                    None => format!("describe it: [services.{service}] with an address"),
                };
                table.wrong(&text.at, format!("there is no service {service:?}"), Some(help));
            }
        }
        let at = table.spot_of("grants").unwrap_or_else(|| table.at().clone());
        (grants, at)
    }
}

/// `[stage.limits]`: none of them may be without a bound.
fn read_limits(mut table: Reader<'_>, memory: u64) -> StageLimits {
    let default = StageLimits::default();
    let count = |table: &mut Reader<'_>, name, most: u32, default: u64| {
        u64::from(table.number(name, 0..most, u32::try_from(default).unwrap_or(most)))
    };
    let small = |table: &mut Reader<'_>, name, most: u32, default: usize| {
        usize::try_from(count(table, name, most, default as u64)).unwrap_or(default)
    };
    let bytes = |table: &mut Reader<'_>, name, default: usize| {
        usize::try_from(table.size(name, 1_000..1 << 30, default as u64)).unwrap_or(default)
    };
    let limits = StageLimits {
        cpu: table.duration("cpu", Duration::from_millis(1)..secs(3_600), default.cpu),
        memory,
        inline_bytes: bytes(&mut table, "inline_bytes", default.inline_bytes),
        output_bytes: table.size("output_bytes", 0..1 << 40, default.output_bytes),
        host_calls: count(&mut table, "host_calls", 1_000_000_000, default.host_calls),
        log_lines: table.number("log_lines", 0..100_000, default.log_lines),
        log_bytes: bytes(&mut table, "log_bytes", default.log_bytes),
        edits: small(&mut table, "edits", MOST_EDITS, default.edits),
        facts: small(&mut table, "facts", 10_000, default.facts),
        fact_bytes: bytes(&mut table, "fact_bytes", default.fact_bytes),
        open_streams: small(&mut table, "open_streams", 1_000, default.open_streams),
        service_bytes: table.size("service_bytes", 0..1 << 40, default.service_bytes),
        dns_queries: table.number("dns_queries", 0..100_000, default.dns_queries),
        store_calls: table.number("store_calls", 0..1_000_000, default.store_calls),
    };
    table.finish();
    limits
}

fn read_breaker(mut table: Reader<'_>) -> BreakerSettings {
    let default = BreakerSettings::default();
    let pause = table.duration("pause", Duration::from_millis(100)..secs(86_400), default.pause);
    let longest =
        table.duration("longest_pause", Duration::from_millis(100)..secs(86_400), default.longest_pause.max(pause));
    if longest < pause
        && let Some(at) = table.spot_of("longest_pause")
    {
        let message = format!(
            "must be at least the pause, {}, is {}",
            units::show_duration(pause),
            units::show_duration(longest)
        );
        table.wrong(&at, message, None);
    }
    let breaker = BreakerSettings {
        failures: table.number("failures", 0..1_000_000, default.failures),
        pause,
        longest_pause: longest,
    };
    table.finish();
    breaker
}

fn nearest_grant(text: &str) -> Option<String> {
    let known: Vec<&str> = Grants::KNOWN.split(", ").collect();
    nearest(text, &known).map(|near| format!("did you mean {near:?}?"))
}

/// After so many an instance of `isolation = "worker"` makes room for a fresh one, so that what leaks in it has an end.
const MESSAGES_PER_WORKER: u32 = 1_000;

/// What the check of edits allows in any stage.
#[allow(clippy::cast_possible_truncation, reason = "a constant far below 2³¹")]
const MOST_EDITS: u32 = wasmilter_message::apply::MAX_EDITS as u32;

/// Sizes above are not served: integers of the plugins' interface stay below 2³¹.
const MOST_BYTES: u64 = 2_000_000_000;

const NAME_RULE: &str = "must be 1 to 64 lower case letters, digits, `-` or `_`, beginning with a letter";

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
