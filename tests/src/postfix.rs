//! A private Postfix: own directories, own ports, loopback only; what it delivers goes to a [`Sink`].
//!
//! One instance serves a whole test binary. It has many listeners, each with a milter socket of its own, so that every
//! test takes a fresh one and starts its own Wasmilter behind it.

use crate::{
    ports,
    scratch::Scratch,
    server::{self, Server},
    sink::Sink,
    wait,
};
use std::{
    fmt::Write,
    fs,
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How many tests of one binary can take a listener.
const LISTENERS: usize = 48;

/// The instance.
#[derive(Debug)]
pub struct Postfix {
    config: PathBuf,
    log: PathBuf,
    listeners: Vec<Listener>,
    taken: AtomicUsize,
    plain: SocketAddr,
    local_milter: PathBuf,
    sink: Sink,
    // Ended before the directory goes.
    _master: Server,
    _scratch: Scratch,
}

/// An SMTP listener with a milter socket of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where Postfix listens for mail, IPv4.
    pub smtp: SocketAddr,
    /// The same, IPv6.
    pub smtp6: SocketAddr,
    /// Where it expects the milter: a unix socket.
    pub milter: PathBuf,
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// `hold`, `active`, `deferred`, …
    pub queue: String,
    /// Its id.
    pub id: String,
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
}

/// The Postfix of this test binary, started at the first call.
pub fn shared() -> &'static Postfix {
    static SHARED: OnceLock<Postfix> = OnceLock::new();
    SHARED.get_or_init(Postfix::start)
}

impl Postfix {
    fn start() -> Self {
        let scratch = Scratch::new("postfix");
        let config = scratch.directory("etc");
        let queue = scratch.directory("queue");
        let data = scratch.directory("data");
        let milters = scratch.directory("milter");
        let log = scratch.join("postfix.log");
        server::run(Command::new("chown").arg("postfix").arg(&data));
        server::run(Command::new("chmod").arg("700").arg(&data));

        let sink = Sink::start();
        let listener = |number: usize| {
            let port = ports::free();
            Listener {
                smtp: (Ipv4Addr::LOCALHOST, port).into(),
                smtp6: (Ipv6Addr::LOCALHOST, port).into(),
                milter: milters.join(format!("{number}.sock")),
            }
        };
        let listeners: Vec<Listener> = (0..LISTENERS).map(listener).collect();
        let plain: SocketAddr = (Ipv4Addr::LOCALHOST, ports::free()).into();
        let local_milter = milters.join("local.sock");

        let main = MAIN_CF
            .replace("QUEUE", &queue.display().to_string())
            .replace("DATA", &data.display().to_string())
            .replace("LOG", &log.display().to_string())
            .replace("SCRATCH", &scratch.path().display().to_string())
            .replace("SINK", &format!("[127.0.0.1]:{}", sink.address().port()))
            .replace("LOCALMILTER", &local_milter.display().to_string());
        fs::write(config.join("main.cf"), main).unwrap();
        let mut master = String::from(MASTER_CF);
        writeln!(master, "{plain} inet n - n - - smtpd").unwrap();
        for listener in &listeners {
            for address in [listener.smtp, listener.smtp6] {
                let milter = listener.milter.display();
                writeln!(master, "{address} inet n - n - - smtpd -o smtpd_milters=unix:{milter}").unwrap();
            }
        }
        fs::write(config.join("master.cf"), master).unwrap();

        // Makes what is missing in the queue directory. `postfix start` would put the master into the background, and
        // `start-fg` into another session: started directly, it can be told to end.
        server::run(Command::new("/usr/sbin/postfix").arg("-c").arg(&config).arg("check"));
        let mut server = Server::start(
            Command::new("/usr/lib/postfix/sbin/master").arg("-c").arg(&config).arg("-d"),
            &scratch.join("master.out"),
        );
        server.wait_ready(Duration::from_secs(60), || TcpStream::connect(plain).is_ok());
        Self {
            config,
            log,
            listeners,
            taken: AtomicUsize::new(0),
            plain,
            local_milter,
            sink,
            _master: server,
            _scratch: scratch,
        }
    }

    /// A listener that no other test has.
    pub fn listener(&self) -> &Listener {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        self.listeners.get(number).expect("more listeners in postfix.rs for that many tests")
    }

    /// The listener without a milter.
    #[must_use]
    pub fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// The milter socket of `non_smtpd_milters`.
    #[must_use]
    pub fn local_milter(&self) -> &PathBuf {
        &self.local_milter
    }

    /// Where it delivers to.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Hands a message to the `sendmail` command, as a local program would.
    pub fn submit_locally(&self, from: &str, to: &[&str], message: &[u8]) {
        let mut command = Command::new("/usr/sbin/sendmail");
        command.arg("-C").arg(&self.config).args(["-i", "-f", from]).args(to);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(message).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "sendmail: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Everything in its queues.
    #[must_use]
    pub fn queued(&self) -> Vec<Queued> {
        let list = server::run(Command::new("/usr/sbin/postqueue").arg("-c").arg(&self.config).arg("-j"));
        let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let queued = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let to = entry["recipients"].as_array().into_iter().flatten().map(|to| text(to, "address")).collect();
            Queued { queue: text(&entry, "queue_name"), id: text(&entry, "queue_id"), from: text(&entry, "sender"), to }
        };
        list.lines().map(queued).collect()
    }

    /// Waits until mail for a recipient is in the hold queue, and gives its entry.
    #[track_caller]
    #[must_use]
    pub fn held(&self, recipient: &str) -> Queued {
        wait::until(&format!("mail for {recipient} in the hold queue"), Duration::from_secs(20), || {
            self.queued().into_iter().find(|entry| entry.queue == "hold" && entry.to.iter().any(|to| to == recipient))
        })
    }

    /// Header and body of a message in a queue; lines end with LF.
    #[must_use]
    pub fn content(&self, id: &str) -> String {
        server::run(Command::new("/usr/sbin/postcat").arg("-c").arg(&self.config).args(["-h", "-b", "-q", id]))
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for a line with all these words in the log, and gives it.
    #[track_caller]
    #[must_use]
    pub fn logged(&self, words: &[&str]) -> String {
        wait::until(&format!("{words:?} in Postfix's log"), Duration::from_secs(20), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Panics when Postfix complained of the milter behind this listener: closed sockets, time-outs, malformed replies.
    /// Then it would have used its own `milter_default_action`, which no test may ever see.
    #[track_caller]
    pub fn assert_content_with(&self, listener: &Listener) {
        let milter = listener.milter.display().to_string();
        let complaints: Vec<String> = self
            .log()
            .lines()
            .filter(|line| line.contains("warning") && line.contains(&milter))
            .map(str::to_owned)
            .collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = QUEUE
data_directory = DATA
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.org
mydomain = example.org
mydestination =
inet_interfaces = 127.0.0.1, ::1
inet_protocols = ipv4, ipv6
mynetworks = 127.0.0.0/8, [::1]/128
local_header_rewrite_clients =
smtpd_relay_restrictions = permit_mynetworks, reject
local_recipient_maps =
alias_maps =
alias_database =
default_transport = smtp:SINK
relay_transport = smtp:SINK
transport_maps =
smtp_dns_support_level = disabled
smtp_line_length_limit = 0
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_discard_ehlo_keywords =
disable_dns_lookups = yes
biff = no
maillog_file = LOG
maillog_file_prefixes = SCRATCH
default_process_limit = 250
in_flow_delay = 0
message_size_limit = 62428800
mailbox_size_limit = 0
queue_minfree = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_junk_command_limit = 1000
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
milter_default_action = tempfail
milter_protocol = 6
milter_connect_timeout = 30s
non_smtpd_milters = unix:LOCALMILTER
";

/// The services of `master.cf` that every instance has; listeners are added to it.
pub const MASTER_CF: &str = "\
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
";
