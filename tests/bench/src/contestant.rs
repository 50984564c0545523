//! The programs that are compared, each started privately and ended by its own pid.

use crate::{
    mail::Mail,
    traffic::{self, Load, Outcome},
    usage,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use wasmilter_tests::{
    corpus,
    scratch::Scratch,
    server::{Server, processor_time},
};

const START: Duration = Duration::from_secs(180);

/// A kind of program, and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, serde::Serialize)]
pub(crate) enum Contestant {
    /// The reference of the tables: C on libmilter, no replies but the last.
    LibmilterNoReplies,
    /// C on libmilter, a reply to every step.
    Libmilter,
    /// Python on libmilter.
    Pymilter,
    /// rspamd's proxy scanning by itself, with minimal modules.
    Rspamd,
    /// MIMEDefang with a filter that does nothing.
    Mimedefang,
    /// clamav-milter and clamd with a database of one signature, without its cache.
    ClamavMilter,
    /// Wasmilter without a stage.
    Bare,
    /// One stage that does nothing, a fresh sandbox for every message.
    NoopFresh,
    /// The same, sandboxes reused.
    NoopReused,
    /// The five bundled plugins with their embedded engines, fresh sandboxes.
    Bundled,
    /// One stage in JavaScript that does nothing.
    Javascript,
    /// One stage in Python that does nothing.
    Python,
}

impl Contestant {
    pub(crate) const ALL: [Self; 12] = [
        Self::LibmilterNoReplies,
        Self::Libmilter,
        Self::Pymilter,
        Self::Rspamd,
        Self::Mimedefang,
        Self::ClamavMilter,
        Self::Bare,
        Self::NoopFresh,
        Self::NoopReused,
        Self::Bundled,
        Self::Javascript,
        Self::Python,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LibmilterNoReplies => "libmilter null, no replies",
            Self::Libmilter => "libmilter null",
            Self::Pymilter => "pymilter null",
            Self::Rspamd => "rspamd, minimal",
            Self::Mimedefang => "MIMEDefang null",
            Self::ClamavMilter => "clamav-milter",
            Self::Bare => "Wasmilter, no stage",
            Self::NoopFresh => "Wasmilter, no-op, fresh",
            Self::NoopReused => "Wasmilter, no-op, reused",
            Self::Bundled => "Wasmilter, five plugins",
            Self::Javascript => "Wasmilter, no-op in JavaScript",
            Self::Python => "Wasmilter, no-op in Python",
        }
    }

    pub(crate) fn is_wasmilter(self) -> bool {
        self >= Self::Bare
    }
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) socket: PathBuf,
    servers: Vec<Server>,
    _scratch: Scratch,
}

impl Running {
    /// Starts it and waits until it takes connections.
    pub(crate) fn start(contestant: Contestant) -> Result<Self> {
        let scratch = Scratch::new("bench");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777))?;
        let socket = scratch.join("milter.sock");
        let servers = match contestant {
            Contestant::LibmilterNoReplies => libmilter(&scratch, &socket, "no-replies")?,
            Contestant::Libmilter => libmilter(&scratch, &socket, "replies")?,
            Contestant::Pymilter => {
                let script = contestants().join("null.py");
                // Debian's Python has Debian's module.
                let mut command = Command::new("/usr/bin/python3");
                vec![start(command.arg(script).arg(&socket), &scratch, "pymilter")]
            }
            Contestant::Rspamd => {
                let config = configured(&scratch, "rspamd.conf")?;
                vec![start(Command::new("/usr/bin/rspamd").args(["-f", "-i", "-c"]).arg(config), &scratch, "rspamd")]
            }
            Contestant::Mimedefang => mimedefang(&scratch, &socket)?,
            Contestant::ClamavMilter => clamav(&scratch)?,
            _ => vec![wasmilter(&scratch, &socket, &stages(contestant))?],
        };
        let mut running = Self { socket: socket.clone(), servers, _scratch: scratch };
        if let Some(last) = running.servers.last_mut() {
            last.wait_ready(START, || UnixStream::connect(&socket).is_ok());
        }
        // Postfix connects as its own user.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
        Ok(running)
    }

    /// Wasmilter with these stages.
    pub(crate) fn with_stages(stages: &str) -> Result<Self> {
        let scratch = Scratch::new("bench");
        let socket = scratch.join("milter.sock");
        let mut server = wasmilter(&scratch, &socket, stages)?;
        server.wait_ready(START, || UnixStream::connect(&socket).is_ok());
        Ok(Self { socket, servers: vec![server], _scratch: scratch })
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.servers.iter().map(|server| processor_time(server.pid())).sum()
    }

    /// Sends it a load, after a tenth of that in which threads, pools and caches come into being.
    pub(crate) fn measure(&self, mails: &[Mail], load: &Load) -> Result<Measured> {
        let warm = Load { messages: (load.messages / 10).clamp(32, 400), rate: None, ..load.clone() };
        traffic::send(&self.socket, mails, &warm).context("warming up")?;
        let before = self.cpu();
        let outcome = traffic::send(&self.socket, mails, load).context("measuring")?;
        Ok(Measured { outcome, cpu: self.cpu().saturating_sub(before) })
    }

    /// Memory of all its processes as of now, in bytes.
    pub(crate) fn resident_memory(&self) -> Result<u64> {
        self.servers.iter().map(|server| usage::resident_memory(server.pid())).sum()
    }

    /// Peak memory of all its processes so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.servers.iter().map(|server| usage::peak_memory(server.pid())).sum()
    }
}

/// What came of a load, and what it cost.
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// Of all its processes.
    pub(crate) cpu: Duration,
}

impl Measured {
    /// Microseconds of CPU time for one message.
    pub(crate) fn cpu_micros(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "some thousand messages")]
        let messages = self.outcome.messages.max(1) as f64;
        self.cpu.as_secs_f64() * 1e6 / messages
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The last started needs the others.
        while let Some(server) = self.servers.pop() {
            drop(server);
        }
    }
}

fn start(command: &mut Command, scratch: &Scratch, name: &str) -> Server {
    Server::start(command, &scratch.join(&format!("{name}.log")))
}

fn contestants() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contestants")
}

/// A configuration file of `contestants/`, with the place where it runs.
fn configured(scratch: &Scratch, name: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(contestants().join(name)).with_context(|| format!("reading {name}"))?;
    Ok(scratch.write(name, text.replace("SCRATCH", &scratch.path().display().to_string())))
}

fn libmilter(scratch: &Scratch, socket: &Path, replies: &str) -> Result<Vec<Server>> {
    let program = scratch.join("null");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(&program).arg(contestants().join("null.c")).args(["-lmilter", "-lpthread"]);
    let output = compiler.output().context("starting the C compiler")?;
    if !output.status.success() {
        bail!("compiling null.c: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(vec![start(Command::new(&program).arg(socket).arg(replies), scratch, "null")])
}

fn mimedefang(scratch: &Scratch, socket: &Path) -> Result<Vec<Server>> {
    let spool = scratch.directory("spool");
    let control = scratch.join("mx.sock");
    let filter = scratch.write("filter", fs::read(contestants().join("mimedefang-filter"))?);
    // What the multiplexor starts as a worker.
    let worker = format!("#!/bin/sh\nexec /usr/bin/mimedefang.pl -f {} \"$@\"\n", filter.display());
    let worker = scratch.write("worker", worker);
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755))?;
    for path in [scratch.path(), &spool, &filter] {
        let status = Command::new("chown").arg("defang:defang").arg(path).status()?;
        if !status.success() {
            bail!("chown defang {}: {status}", path.display());
        }
    }
    let mut multiplexor = Command::new("/usr/bin/mimedefang-multiplexor");
    multiplexor.args(["-D", "-U", "defang", "-m", "2", "-x", "10", "-q", "100", "-Q", "30", "-z"]).arg(&spool);
    multiplexor.arg("-s").arg(&control).arg("-f").arg(&worker);
    let mut first = start(&mut multiplexor, scratch, "multiplexor");
    first.wait_ready(START, || UnixStream::connect(&control).is_ok());
    let mut milter = Command::new("/usr/bin/mimedefang");
    milter.args(["-D", "-U", "defang", "-G", "-q", "-m"]).arg(&control).arg("-z").arg(&spool).arg("-p").arg(socket);
    Ok(vec![first, start(&mut milter, scratch, "mimedefang")])
}

fn clamav(scratch: &Scratch) -> Result<Vec<Server>> {
    // Some signature, so that there is a database: no message has it.
    scratch.write("db/bench.ndb", format!("Bench.None:0:*:{}\n", "fedcba9876543210".repeat(2)));
    let config = configured(scratch, "clamd.conf")?;
    let mut clamd = start(Command::new("/usr/sbin/clamd").arg("-c").arg(config), scratch, "clamd");
    let socket = scratch.join("clamd.sock");
    clamd.wait_ready(START, || UnixStream::connect(&socket).is_ok());
    let config = configured(scratch, "clamav-milter.conf")?;
    Ok(vec![clamd, start(Command::new("/usr/sbin/clamav-milter").arg("-c").arg(config), scratch, "clamav-milter")])
}

/// The release build; `WASMILTER_BIN` names another.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("WASMILTER_BIN")
        .map_or_else(|| corpus::repository().join("target/release/wasmilter"), PathBuf::from)
}

/// The stages of a contestant that is Wasmilter.
fn stages(contestant: Contestant) -> String {
    let noop = |path: PathBuf, more: &str| {
        format!("[[stage]]\nname = \"noop\"\nplugin = {:?}\n{more}\n", path.display().to_string())
    };
    match contestant {
        Contestant::NoopFresh => noops(1),
        Contestant::NoopReused => noop(built("guests", "noop"), "isolation = \"worker\""),
        Contestant::Javascript => noop(built("bench", "noop-js"), ""),
        Contestant::Python => noop(built("bench", "noop-python"), ""),
        Contestant::Bundled => fs::read_to_string(contestants().join("bundled.toml")).unwrap_or_default(),
        _ => String::new(),
    }
}

/// So many stages that do nothing, a fresh sandbox in each for every message.
pub(crate) fn noops(stages: u64) -> String {
    let plugin = built("guests", "noop").display().to_string();
    (0..stages).map(|number| format!("[[stage]]\nname = \"noop{number}\"\nplugin = {plugin:?}\n")).collect()
}

/// One stage that looks at everything in a message.
pub(crate) const VIRUS: &str = "[[stage]]\nname = \"virus\"\nplugin = \"virus\"\ngrants = [\"headers\", \"body\"]\n[stage.config]\nhashes = [{ sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\", name = \"None\" }]\n";

pub(crate) fn built(folder: &str, name: &str) -> PathBuf {
    corpus::repository().join("target").join(folder).join(format!("{name}.wasm"))
}

/// `serve` with these stages behind a unix socket; nothing is logged per message, as the others do not.
fn configuration(socket: &Path, stages: &str) -> String {
    let target = corpus::repository().join("target");
    let head = if stages.is_empty() { "stage = []\n" } else { "" };
    format!(
        "{head}[milter]\nlisten = [\"unix:{}\"]\n[log]\nlevel = \"warn\"\n[plugins]\ndirectory = {:?}\n[sandbox]\ncache = {:?}\n{stages}",
        socket.display(),
        target.join("plugins").display().to_string(),
        target.join("bench/cache").display().to_string(),
    )
}

fn wasmilter(scratch: &Scratch, socket: &Path, stages: &str) -> Result<Server> {
    let binary = binary();
    if !binary.exists() {
        bail!("{} is missing; `cargo xtask bench` builds it", binary.display());
    }
    // Always the same place: it is in the plugin's configuration, and so in what the cache of compiled code goes by.
    let certificates = corpus::repository().join("target/bench/certificates");
    fs::create_dir_all(&certificates)?;
    let config = configuration(socket, stages).replace("CERTIFICATES", &certificates.display().to_string());
    let config = scratch.write("wasmilter.toml", config);
    Ok(start(Command::new(binary).arg("serve").arg("--config").arg(config), scratch, "wasmilter"))
}
