//! The real binary, as an administrator would run it.

use crate::{
    corpus, ports,
    scratch::Scratch,
    server::{self, Server},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

/// The first start after a build compiles every plugin; on a busy machine that takes its time.
const START: Duration = Duration::from_secs(120);

/// A running `wasmilter serve`.
#[derive(Debug)]
pub struct Wasmilter {
    server: Server,
    admin: SocketAddr,
    config: PathBuf,
    scratch: Scratch,
}

impl Wasmilter {
    /// Starts it behind a milter socket and waits until it is ready. `config` is what follows `[milter]`, `[admin]`,
    /// `[plugins]` and `[sandbox]`; `GUESTS` in it is replaced by the directory of the test guests.
    #[must_use]
    pub fn start(socket: &Path, config: &str) -> Self {
        let wasmilter = Self::start_at(&format!("unix:{}", socket.display()), config);
        // Postfix connects as its own user. Whoever runs the host says who may connect through the directory.
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
        wasmilter
    }

    /// Starts it at any milter address.
    #[must_use]
    pub fn start_at(listen: &str, config: &str) -> Self {
        Self::start_on(&[listen], config)
    }

    /// Starts it at several milter addresses.
    #[must_use]
    pub fn start_on(listen: &[&str], config: &str) -> Self {
        let listen: Vec<String> = listen.iter().map(|address| (*address).to_owned()).collect();
        Self::start_by(Command::new(binary()), &listen, config, &[])
    }

    /// Starts it by a command of the test's, which gets `serve --config FILE` and `more` as arguments. `listen` is what stands in
    /// `[milter]`; it is ready when its admin address says so.
    #[must_use]
    pub fn start_by(mut command: Command, listen: &[String], config: &str, more: &[&str]) -> Self {
        let scratch = Scratch::new("wasmilter");
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let head = format!("[milter]\nlisten = {listen:?}\n[admin]\nlisten = \"{admin}\"\n");
        let file = scratch.write("wasmilter.toml", complete(&head, config));
        command.args(["serve", "--config"]).arg(&file).args(more).current_dir(scratch.path());
        let mut server = Server::start(&mut command, &scratch.join("wasmilter.log"));
        server.wait_ready(START, || ready(admin));
        Self { server, admin, config: file, scratch }
    }

    /// Starts it anew after it ended, as a supervisor would; does not wait until it is ready.
    pub fn revive(&mut self) {
        let mut command = Command::new(binary());
        command.args(["serve", "--config"]).arg(&self.config).current_dir(self.scratch.path());
        self.server = Server::start(&mut command, &self.scratch.join("wasmilter.log"));
    }

    /// What `/metrics` shows.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        metrics(self.admin)
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    /// Its HTTP address.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.server.ended().is_some()
    }

    /// How it ended, if it did.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.server.ended()
    }

    /// Tells it to end and does not wait for that.
    pub fn tell_to_stop(&self) {
        self.server.signal(Signal::SIGTERM);
    }

    /// Tells it to end; panics when it does not end well, or has panicked on the way.
    pub fn stop(mut self) {
        let status = self.server.stop();
        let log = self.log();
        assert!(status.success(), "wasmilter ended with {status}: {log}");
        assert!(!log.contains("panicked at"), "{log}");
    }
}

impl Drop for Wasmilter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("wasmilter's log ends:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        } else {
            assert!(!self.log().contains("panicked at"), "{}", self.log());
        }
    }
}

/// Whether the host with that admin address takes mail.
#[must_use]
pub fn ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").is_some_and(|(status, _)| status == 200)
}

/// What `/metrics` of a host with that admin address shows.
#[must_use]
pub fn metrics(admin: SocketAddr) -> Metrics {
    let (status, text) = get(admin, "/metrics").expect("an answer from /metrics");
    assert_eq!(status, 200, "{text}");
    Metrics { text }
}

/// The metrics of one moment, in the text format of Prometheus.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// The sum over all series of that name that have all these labels, written `name="value"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let series = self.text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Runs a subcommand that ends by itself.
#[must_use]
pub fn command(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("the wasmilter binary")
}

/// `wasmilter try --json`: writes the configuration and the message into `scratch` and gives the object.
#[track_caller]
#[must_use]
pub fn try_json(scratch: &Scratch, config: &str, arguments: &[&str], message: &[u8]) -> serde_json::Value {
    let file = scratch.write("wasmilter.toml", complete("[milter]\nlisten = \"inet:127.0.0.1:1\"\n", config));
    let mail = scratch.write("message.eml", message);
    let output = Command::new(binary())
        .args(["try", "--json", "--config"])
        .arg(file)
        .args(arguments)
        .arg(mail)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&shown).unwrap_or_else(|error| {
        panic!("{error}: {}: {shown}{}", output.status, String::from_utf8_lossy(&output.stderr))
    })
}

/// The head, where plugins and their compiled code are, and the test's own part.
fn complete(head: &str, config: &str) -> String {
    let target = corpus::repository().join("target");
    let (plugins, cache, guests) = (target.join("plugins"), target.join("tests/cache"), target.join("guests"));
    let config = config.replace("GUESTS", &guests.display().to_string());
    format!("{head}[plugins]\ndirectory = {plugins:?}\n[sandbox]\ncache = {cache:?}\n{config}")
}

/// `$WASMILTER_BIN`, otherwise the one that cargo built beside this test binary.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WASMILTER_BIN") {
        return path.into();
    }
    let ours = std::env::current_exe().unwrap();
    // Tests are in `deps`, one below; other programs are beside it.
    let found =
        ours.ancestors().skip(1).take(2).map(|directory| directory.join("wasmilter")).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no wasmilter beside {}: build it with `cargo build --workspace`", ours.display()))
}

/// An HTTP GET; status and body, or none without an answer.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Memory in use and open descriptors of a running host.
#[must_use]
pub fn footprint(wasmilter: &Wasmilter) -> (u64, usize) {
    (server::resident(wasmilter.pid()), server::descriptors(wasmilter.pid()))
}
