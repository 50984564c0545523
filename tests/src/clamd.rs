//! A private clamd with a signature database of its own: EICAR and nothing else, ready in a second, no download.

use crate::{scratch::Scratch, server::Server};
use nix::sys::signal::Signal;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The server.
#[derive(Debug)]
pub struct Clamd {
    socket: PathBuf,
    config: PathBuf,
    server: Server,
    scratch: Scratch,
}

/// The EICAR test file, put together here so that no scanner takes this source for it.
#[must_use]
pub fn eicar() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!", "$H+H*"].concat()
}

impl Clamd {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let scratch = Scratch::new("clamd");
        let socket = scratch.join("clamd.sock");
        // A body signature (type 0: any file, anywhere in it) over a piece of EICAR.
        let piece: String = eicar().bytes().skip(28).take(32).map(|byte| format!("{byte:02x}")).collect();
        scratch.write("db/tests.ndb", format!("Tests.Eicar.Body:0:*:{piece}\n"));
        let config = scratch.write("clamd.conf", CONF.replace("SCRATCH", &scratch.path().display().to_string()));
        let server = run(&config, &scratch);
        let mut clamd = Self { socket, config, server, scratch };
        clamd.wait_ready();
        clamd
    }

    /// Ends it as a crash would, or when it has ended already, does nothing.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops it in the middle of whatever it does, or lets it go on: a scanner that accepts and does not answer.
    pub fn freeze(&self, frozen: bool) {
        self.server.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Starts it again after [`Self::kill`] and waits until it answers.
    pub fn restart(&mut self) {
        self.server = run(&self.config, &self.scratch);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let socket = &self.socket;
        self.server.wait_ready(Duration::from_secs(60), || ping(socket));
    }

    /// Where it listens, as an address of `[services.NAME]`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

fn run(config: &Path, scratch: &Scratch) -> Server {
    Server::start(Command::new("/usr/sbin/clamd").arg("-c").arg(config), &scratch.join("clamd.out"))
}

fn ping(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut answer = String::new();
    stream.write_all(b"PING\n").is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("PONG")
}

const CONF: &str = "\
DatabaseDirectory SCRATCH/db
LocalSocket SCRATCH/clamd.sock
LocalSocketMode 666
FixStaleSocket yes
PidFile SCRATCH/clamd.pid
LogFile SCRATCH/clamd.log
Foreground yes
MaxThreads 12
StreamMaxLength 25M
SelfCheck 0
TemporaryDirectory SCRATCH
DisableCertCheck yes
";
