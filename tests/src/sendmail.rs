//! A private Sendmail from unpacked packages (it can not be installed beside Postfix); what it delivers goes to a
//! [`Sink`]. One instance serves a whole test binary; every test takes a listener with a milter socket of its own.
//!
//! It runs in namespaces of its own: it sleeps a minute when the host's name is not qualified, and it only logs to
//! /dev/log, which we want to read and not to share.

use crate::{
    corpus, ports,
    scratch::Scratch,
    server::{self, Server},
    sink::Sink,
    wait,
};
use std::{
    fmt::Write,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// How many tests of one binary can take a listener. Sendmail refuses more daemons than 100, filters than 25.
const LISTENERS: usize = 24;

/// The instance.
#[derive(Debug)]
pub struct Sendmail {
    config: PathBuf,
    log: PathBuf,
    listeners: Vec<Listener>,
    taken: AtomicUsize,
    plain: SocketAddr,
    sink: Sink,
    _daemon: Server,
    _scratch: Scratch,
}

/// An SMTP listener with a milter socket of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where Sendmail listens for mail.
    pub smtp: SocketAddr,
    /// Where it expects the milter: a unix socket.
    pub milter: PathBuf,
    /// Name of the filter in Sendmail's log.
    name: String,
}

/// The Sendmail of this test binary, started at the first call.
pub fn shared() -> &'static Sendmail {
    static SHARED: OnceLock<Sendmail> = OnceLock::new();
    SHARED.get_or_init(Sendmail::start)
}

/// Where the packages are unpacked by tests/servers/install.sh.
fn unpacked() -> PathBuf {
    let from_environment = std::env::var_os("WASMILTER_SENDMAIL").map(PathBuf::from);
    let root = from_environment.unwrap_or_else(|| corpus::repository().join("target/servers/sendmail"));
    assert!(
        root.join("usr/libexec/sendmail/sendmail").exists(),
        "no Sendmail in {}; tests/servers/install.sh puts it there",
        root.display()
    );
    root
}

impl Sendmail {
    fn start() -> Self {
        let root = unpacked();
        let scratch = Scratch::new("sendmail");
        let milters = scratch.directory("milter");
        let queue = scratch.directory("queue");
        server::run(Command::new("chmod").arg("700").arg(&queue));
        scratch.write("statistics", "");
        scratch.write("service.switch", "hosts files\naliases files\n");
        let log = scratch.join("sendmail.log");
        collect_syslog(&scratch.join("log.sock"), &log);

        let sink = Sink::start();
        let plain: SocketAddr = (Ipv4Addr::LOCALHOST, ports::free()).into();
        let listener = |number: usize| Listener {
            smtp: (Ipv4Addr::LOCALHOST, ports::free()).into(),
            milter: milters.join(format!("{number}.sock")),
            name: format!("filter{number}"),
        };
        let listeners: Vec<Listener> = (0..LISTENERS).map(listener).collect();

        let mut daemons = daemon("plain", plain, "");
        for Listener { smtp, milter, name } in &listeners {
            let milter = milter.display();
            writeln!(daemons, "MAIL_FILTER(`{name}', `S=local:{milter}, F=T, T=C:30s;S:10s;R:10s;E:5m')dnl").unwrap();
            daemons += &daemon(name, *smtp, &format!(", InputMailFilters={name}"));
        }
        let source = SENDMAIL_MC
            .replace("SCRATCH", &scratch.path().display().to_string())
            .replace("DAEMONS\n", &daemons)
            .replace("SINKPORT", &sink.address().port().to_string());
        let source = scratch.write("sendmail.mc", source);
        let features = root.join("usr/share/sendmail/cf");
        let compiled = server::run(
            Command::new("m4")
                .arg(format!("-D_CF_DIR_={}/", features.display()))
                .arg(features.join("m4/cf.m4"))
                .arg(&source),
        );
        let config = scratch.write("sendmail.cf", compiled);

        let script = scratch.write("start.sh", START_SH);
        let mut server = Server::start(
            Command::new("unshare")
                .args(["--uts", "--mount", "--propagation", "private", "sh"])
                .arg(script)
                .arg(scratch.path())
                .arg(root.join("usr/libexec/sendmail/sendmail"))
                .arg(&config),
            &scratch.join("sendmail.out"),
        );
        server.wait_ready(Duration::from_secs(60), || TcpStream::connect(plain).is_ok());
        Self { config, log, listeners, taken: AtomicUsize::new(0), plain, sink, _daemon: server, _scratch: scratch }
    }

    /// A listener that no other test has.
    pub fn listener(&self) -> &Listener {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        self.listeners.get(number).expect("more listeners in sendmail.rs for that many tests")
    }

    /// The listener without a milter.
    #[must_use]
    pub fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// Where it delivers to.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// What `mailq` says of the quarantined messages.
    #[must_use]
    pub fn quarantined(&self) -> String {
        let sendmail = unpacked().join("usr/libexec/sendmail/sendmail");
        let script = r#"hostname mx.example.org; exec "$@""#;
        server::run(
            Command::new("unshare")
                .args(["--uts", "sh", "-c", script, "sh"])
                .arg(sendmail)
                .arg("-C")
                .arg(&self.config)
                .args(["-bp", "-qQ"]),
        )
    }

    /// Waits for a line with all these words in the log, and gives it.
    #[track_caller]
    #[must_use]
    pub fn logged(&self, words: &[&str]) -> String {
        wait::until(&format!("{words:?} in Sendmail's log"), Duration::from_secs(20), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Panics when Sendmail complained of the milter behind this listener.
    #[track_caller]
    pub fn assert_content_with(&self, listener: &Listener) {
        let filter = format!("({})", listener.name);
        let complaint = |line: &&str| {
            line.contains(&filter)
                && ["error", "timeout", "to error state", "bogus", "closed"].iter().any(|word| line.contains(word))
        };
        let complaints: Vec<String> = self.log().lines().filter(complaint).map(str::to_owned).collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

fn daemon(name: &str, address: SocketAddr, more: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("DAEMON_OPTIONS(`Family=inet, Name={name}, Port={port}, Addr={ip}, Listen=128{more}')dnl\n")
}

/// Writes what arrives at a socket in the manner of /dev/log into a file.
fn collect_syslog(socket: &Path, log: &Path) {
    let socket = UnixDatagram::bind(socket).unwrap();
    let mut file = fs::File::create(log).unwrap();
    thread::spawn(move || {
        let mut line = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut line) {
            let text = String::from_utf8_lossy(&line[..length]).replace('\n', " ");
            if writeln!(file, "{}", text.trim_end_matches(['\0', ' '])).is_err() {
                return;
            }
        }
    });
}

/// Takes the scratch directory, the program and its configuration. A /dev of its own, with a log of its own.
const START_SH: &str = r#"
set -e
hostname mx.example.org
mkdir -p "$1/dev"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for node in null zero random urandom; do touch "$1/dev/$node"; mount --bind "/dev/$node" "$1/dev/$node"; done
touch "$1/dev/log"
mount --bind "$1/log.sock" "$1/dev/log"
mount --move "$1/dev" /dev 2>/dev/null || mount --rbind "$1/dev" /dev
exec "$2" -C "$3" -bD -L sendmail
"#;

// The mailer has no flags that add, drop or encode anything: what arrives at the sink is what Sendmail made of it.
const SENDMAIL_MC: &str = r"divert(-1)
divert(0)dnl
VERSIONID(`private sendmail for milter tests')dnl
OSTYPE(`linux')dnl
define(`confPID_FILE', `SCRATCH/sendmail.pid')dnl
define(`QUEUE_DIR', `SCRATCH/queue')dnl
define(`STATUS_FILE', `SCRATCH/statistics')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confDOMAIN_NAME', `mx.example.org')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit,GroupWritableDirPathSafe')dnl
define(`confDELIVERY_MODE', `b')dnl
define(`confTO_IDENT', `0')dnl
define(`confSERVICE_SWITCH_FILE', `SCRATCH/service.switch')dnl
define(`confMAX_DAEMON_CHILDREN', `200')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confDELAY_LA', `0')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confMAX_MESSAGE_SIZE', `62428800')dnl
define(`confMILTER_LOG_LEVEL', `14')dnl
define(`confLOG_LEVEL', `14')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`nocanonify')dnl
DAEMONS
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_RULE_0
R$+ < @ $+ . >	$#sink $@ [127.0.0.1] $: $1 @ $2
R$+ < @ $+ >	$#sink $@ [127.0.0.1] $: $1 @ $2
MAILER_DEFINITIONS
Msink,	P=[IPC], F=kmuX8, E=\r\n, L=0, T=DNS/RFC822/SMTP, A=TCP $h SINKPORT
";
