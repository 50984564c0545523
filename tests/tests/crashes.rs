//! kill -9 of the host and of the services that its plugins ask, full disks and lost directories, behind a real Postfix and
//! beside an oracle: whatever dies, what was accepted is delivered once and byte for byte, what must be refused never is, and
//! everything comes back by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use wasmilter_tests::{
    clamd::{Clamd, eicar},
    letter::{Letter, below_received, crlf},
    postfix,
    rspamd::{self, Rspamd},
    scratch::Scratch,
    script::scripted,
    small_disk::SmallDisk,
    smtp_client::{Reply, SmtpClient},
    wait,
    wasmilter::{Wasmilter, ready},
};

const MESSAGES: usize = 240;
const CLIENTS: usize = 8;
/// Until a client that is put off tries again; a real one waits for minutes.
const RETRY: Duration = Duration::from_millis(150);
/// A client that is always put off gives up after so many times.
const PATIENCE: usize = 4;
/// No message may take longer to get through, however often something died on the way.
const THROUGH: Duration = Duration::from_secs(90);
/// As systemd's `RestartSec=100ms`.
const RESTART: Duration = Duration::from_millis(100);
/// From the death of the host to its readiness, on a busy machine.
const RETURN: Duration = Duration::from_secs(30);
/// Room for the bodies of some messages.
const DISK: u64 = 4 << 20;
const LARGE: usize = 300_000;

/// What a message is, and so what must become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Delivered.
    Clean,
    /// Delivered, its body went through the spool.
    Large,
    /// Delivered with the marks of rspamd.
    Tagged,
    /// Refused by what clamd says.
    Infected,
    /// The same, through the spool.
    LargeInfected,
    /// Refused by what rspamd says.
    Spam,
    /// Put off for ever.
    Deferred,
}

/// What a client got in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted,
    Refused,
    GaveUp,
}

#[derive(Debug)]
struct Letters {
    kind: Kind,
    from: &'static str,
    to: String,
    message: Vec<u8>,
}

impl Letters {
    fn new(number: usize, kind: Kind) -> Self {
        let subject = if matches!(kind, Kind::Tagged | Kind::Spam) { rspamd::MARK } else { "crashes" };
        let from = match kind {
            Kind::Spam => "strict@example.net",
            Kind::Deferred => "defer@example.net",
            _ => "ann@example.net",
        };
        let mut text = match kind {
            Kind::Infected | Kind::LargeInfected => format!("{}\n", eicar()),
            _ => format!("This is number {number}.\n.\n..dots\n"),
        };
        if matches!(kind, Kind::Large | Kind::LargeInfected) {
            text.push_str(&format!("line {number:010} of a large message that goes to a file\n").repeat(LARGE / 60));
        }
        let to = format!("crash-{number}@example.org");
        let head = format!("From: {from}\nTo: {to}\nSubject: {subject}\nX-Number: {number}\nX-Folded: a\n\tb\n\n");
        Self { kind, from, to, message: crlf(head + &text) }
    }

    fn expected(&self) -> End {
        match self.kind {
            Kind::Clean | Kind::Large | Kind::Tagged => End::Accepted,
            Kind::Infected | Kind::LargeInfected | Kind::Spam => End::Refused,
            Kind::Deferred => End::GaveUp,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    HostKilled,
    ClamdKilled,
    RspamdKilled,
    DiskFull,
    SpoolAway,
    /// The restarted host finds no spool, and must be started until it does.
    HostKilledWhileSpoolIsAway,
}

/// The mix, and what goes wrong when so many messages have been begun: both by the seed.
fn planned(seed: u64) -> (Vec<Letters>, Vec<(usize, Trouble, Duration)>) {
    use Kind::*;
    use Trouble::*;
    let mut random = fastrand::Rng::with_seed(seed);
    let kinds = [
        Clean,
        Clean,
        Clean,
        Clean,
        Clean,
        Clean,
        Large,
        Large,
        Tagged,
        Infected,
        Infected,
        LargeInfected,
        Spam,
        Deferred,
    ];
    let letters = (0..MESSAGES).map(|number| Letters::new(number, *random.choice(&kinds).unwrap())).collect();
    let mut troubles = [
        [HostKilled; 5].as_slice(),
        &[ClamdKilled; 3],
        &[RspamdKilled; 2],
        &[DiskFull; 3],
        &[SpoolAway, HostKilledWhileSpoolIsAway],
    ]
    .concat();
    random.shuffle(&mut troubles);
    let step = MESSAGES * 3 / 4 / troubles.len();
    let at = troubles.iter().enumerate().map(|(index, trouble)| {
        let lasts = Duration::from_millis(random.u64(100..900));
        (index * step + random.usize(1..=step), *trouble, lasts)
    });
    (letters, at.collect())
}

#[test]
fn whatever_dies_mail_is_neither_lost_nor_doubled_nor_let_through() {
    let seed = std::env::var("CRASH_SEED").ok().map_or(1, |seed| seed.parse().expect("CRASH_SEED is a number"));
    let (letters, troubles) = planned(seed);
    let scratch = Scratch::new("crashes");
    let disk = scratch.directory("disk");
    let small = SmallDisk::mount(&disk, DISK);
    let spool = scratch.directory("disk/spool");
    let (clamd, rspamd) = (Clamd::start(), Rspamd::start());
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let host = Wasmilter::start(&listener.milter, &configuration(&spool, &clamd, &rspamd));
    let admin = host.admin();
    let host = Mutex::new(host);
    let (attempts, next, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let ends: Mutex<Vec<Option<End>>> = Mutex::new(vec![None; letters.len()]);
    let started = Instant::now();
    let returned = thread::scope(|scope| {
        scope.spawn(|| supervise(&host, &over));
        let havoc = scope.spawn(|| {
            let mut havoc = Havoc { host: &host, admin, clamd, rspamd, disk: small, spool, returned: Vec::new() };
            for (at, trouble, lasts) in troubles {
                // Clients that failed begin nothing any more.
                while next.load(Ordering::Relaxed) < at && started.elapsed() < THROUGH * 3 {
                    thread::sleep(Duration::from_millis(5));
                }
                havoc.wreak(trouble, lasts);
            }
            // As a whole: clients go on, and need what it holds.
            havoc
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(letter) = letters.get(number) else { break };
                        let end = until_it_is_over(listener.smtp, letter, &attempts);
                        ends.lock().unwrap()[number] = Some(end);
                    }
                })
            })
            .collect();
        let gone = clients.into_iter().map(thread::ScopedJoinHandle::join).filter(Result::is_err).count();
        let havoc = havoc.join();
        over.store(true, Ordering::Relaxed);
        assert_eq!(gone, 0, "clients that panicked");
        havoc.expect("everything came back").returned
    });
    eprintln!(
        "seed {seed}: {MESSAGES} messages in {} attempts, {:.1?}; the host was back after {returned:.1?}",
        attempts.load(Ordering::Relaxed),
        started.elapsed()
    );

    let mut wrong = Vec::new();
    for (letter, end) in letters.iter().zip(ends.into_inner().unwrap()) {
        if end != Some(letter.expected()) {
            wrong.push(format!("{} ({:?}) ended as {end:?}", letter.to, letter.kind));
        }
        if end == Some(End::Accepted) {
            let delivered = postfix.sink().take(&letter.to);
            wrong.extend(differs(letter, below_received(&delivered.message)));
        }
    }
    // Whatever is still to come would have come with the accepted mail, or is in the queue.
    let queued = postfix.queued();
    for letter in &letters {
        if postfix.sink().take_now(&letter.to).is_some() || queued.iter().any(|entry| entry.to.contains(&letter.to)) {
            wrong.push(format!("{} ({:?}) was delivered once too often", letter.to, letter.kind));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.into_inner().unwrap_or_else(PoisonError::into_inner).stop();
}

/// Plugins that ask both scanners, and a stage that marks what passed all.
fn configuration(spool: &Path, clamd: &Clamd, rspamd: &Rspamd) -> String {
    // Short pauses: what is tested is that mail is put off meanwhile, not for how long.
    let more = "on_failure = \"tempfail\"\ntimeout = \"20s\"\nbreaker = { failures = 5, pause = \"200ms\", longest_pause = \"1s\" }\n";
    let spam = |name: &str, when: &str, reject: f64| {
        format!(
            "[[stage]]\nname = {name:?}\nplugin = \"spam\"\nwhen = {when:?}\n{more}\
             grants = [\"envelope\", \"headers\", \"body\", \"service:rspamd\"]\nconfig = {{ service = \"rspamd\", reject = {reject:?} }}\n"
        )
    };
    [
        format!("[limits]\nbody_in_memory = \"64kB\"\nqueue_time = \"20s\"\n[spool]\ndirectory = {spool:?}\n"),
        format!("[services.clamd]\naddress = {:?}\n[services.rspamd]\naddress = {:?}\n", clamd.address(), rspamd.address()),
        scripted(
            "defer",
            "when = \"envelope.sender.local == 'defer'\"",
            &json!({ "verdict": { "tempfail": { "code": 450, "enhanced": "4.7.1", "text": "never" } } }),
        ),
        format!(
            "[[stage]]\nname = \"virus\"\nplugin = \"virus\"\n{more}grants = [\"headers\", \"body\", \"service:clamd\"]\n\
             config = {{ service = \"clamd\" }}\n"
        ),
        spam("tagging", "envelope.sender.local != 'strict'", 100.0),
        spam("strict", "envelope.sender.local == 'strict'", 6.0),
        scripted("mark", "", &json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "passed all" } }] })),
    ]
    .concat()
}

/// Starts the host whenever it has ended, as systemd does with `Restart=always`.
fn supervise(host: &Mutex<Wasmilter>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        thread::sleep(RESTART);
        let mut host = host.lock().unwrap();
        if host.ended() {
            host.revive();
        }
    }
}

/// Does what goes wrong, and sets it right again.
struct Havoc<'a> {
    host: &'a Mutex<Wasmilter>,
    admin: SocketAddr,
    clamd: Clamd,
    rspamd: Rspamd,
    disk: Option<SmallDisk>,
    spool: PathBuf,
    /// How long the host was away.
    returned: Vec<Duration>,
}

impl Havoc<'_> {
    fn wreak(&mut self, trouble: Trouble, lasts: Duration) {
        match trouble {
            Trouble::HostKilled => {
                let died = self.kill_host();
                self.await_host(died);
            }
            Trouble::ClamdKilled => {
                self.clamd.kill();
                thread::sleep(lasts);
                self.clamd.restart();
            }
            Trouble::RspamdKilled => {
                self.rspamd.kill();
                thread::sleep(lasts);
                self.rspamd.restart();
            }
            Trouble::DiskFull => {
                let Some(disk) = &self.disk else { return };
                disk.fill();
                thread::sleep(lasts);
                disk.free();
            }
            Trouble::SpoolAway => {
                self.move_spool(true);
                thread::sleep(lasts);
                self.move_spool(false);
            }
            Trouble::HostKilledWhileSpoolIsAway => {
                self.move_spool(true);
                self.kill_host();
                thread::sleep(lasts);
                self.move_spool(false);
                self.await_host(Instant::now());
            }
        }
    }

    fn kill_host(&self) -> Instant {
        let pid = self.host.lock().unwrap().pid();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
        // Not the old one's last breath.
        wait::until("the host to be gone", RETURN, || (!ready(self.admin)).then_some(()));
        Instant::now()
    }

    fn await_host(&mut self, since: Instant) {
        wait::until("the host to be back", RETURN, || ready(self.admin).then_some(()));
        self.returned.push(since.elapsed());
    }

    fn move_spool(&self, away: bool) {
        let elsewhere = self.spool.with_extension("away");
        let (from, to) = if away { (&self.spool, &elsewhere) } else { (&elsewhere, &self.spool) };
        fs::rename(from, to).unwrap();
    }
}

/// One client with one message, as an MTA behaves: what is put off is tried again.
fn until_it_is_over(smtp: SocketAddr, letter: &Letters, attempts: &AtomicUsize) -> End {
    let started = Instant::now();
    let mut put_off = 0;
    loop {
        attempts.fetch_add(1, Ordering::Relaxed);
        let reply = attempt(smtp, letter);
        match reply.code {
            250 => return End::Accepted,
            500..600 => return End::Refused,
            // Postfix does not die here: it always answers.
            0 => panic!("{}: Postfix closed the connection", letter.to),
            _ => put_off += 1,
        }
        // Its own reply, not that of anything which died.
        if reply.text().contains("never") && put_off >= PATIENCE {
            return End::GaveUp;
        }
        assert!(started.elapsed() < THROUGH, "{} ({:?}) is still put off: {reply}", letter.to, letter.kind);
        thread::sleep(RETRY);
    }
}

/// One SMTP session with one message; the first reply that is no success, or the last.
fn attempt(smtp: SocketAddr, letter: &Letters) -> Reply {
    let mut client = SmtpClient::connect_silent(smtp);
    if client.banner.code != 220 {
        return client.banner;
    }
    let (from, to) = (format!("MAIL FROM:<{}>", letter.from), format!("RCPT TO:<{}>", letter.to));
    for command in ["EHLO client.example.net", &from, &to] {
        let reply = client.command(command);
        if reply.code != 250 {
            return reply;
        }
    }
    let reply = client.command("DATA");
    if reply.code != 354 {
        return reply;
    }
    client.content(&letter.message);
    let reply = client.reply();
    client.quit();
    reply
}

/// How a delivered message is not what it must be.
fn differs(letter: &Letters, delivered: &[u8]) -> Option<String> {
    let (sent, got) = (Letter::parse(&letter.message), Letter::parse(delivered));
    let ours = |name: &str| name == "X-Marked" || name.starts_with("X-Spam-");
    let kept: Vec<_> = got.fields.iter().filter(|(name, _)| !ours(name)).cloned().collect();
    let flagged = got.all("X-Spam-Flag") == ["YES"];
    let right = kept == sent.fields
        && got.body == sent.body
        && got.all("X-Marked") == ["passed all"]
        && got.all("X-Spam-Score").len() == 1
        && flagged == (letter.kind == Kind::Tagged);
    (!right).then(|| {
        format!("{} ({:?}) was delivered with {:?} and {} bytes", letter.to, letter.kind, got.names(), got.body.len())
    })
}
