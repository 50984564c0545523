//! A private spamd (SpamAssassin) with one rule of ours and none of the stock ones.

use crate::{ports, scratch::Scratch, server::Server};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

/// A subject with this word scores [`SCORE`].
pub const MARK: &str = "spamd-test-mark";
/// What [`MARK`] scores.
pub const SCORE: f64 = 6.5;

/// The server.
#[derive(Debug)]
pub struct Spamd {
    address: SocketAddr,
    _server: Server,
    _scratch: Scratch,
}

impl Spamd {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let scratch = Scratch::new("spamd");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let site = scratch.directory("site");
        let rules = scratch.directory("rules");
        scratch.write("site/local.cf", RULES.replace("PATTERN", MARK).replace("SCORE", &SCORE.to_string()));
        // Check runs the rules; a list of top-level domains and any rule at all are wanted at the start.
        scratch.write("site/init.pre", "loadplugin Mail::SpamAssassin::Plugin::Check\n");
        scratch.write(
            "rules/00_tests.cf",
            "required_score 5\nutil_rb_tld org net\nheader TEST_NEVER Subject =~ /^a rule for the start$/\n",
        );
        let mut command = Command::new("/usr/sbin/spamd");
        command
            .args(["-L", "-x", "-u", "nobody", "-m", "2", "--min-children=1", "-s", "stderr"])
            .arg(format!("--configpath={}", rules.display()))
            .arg(format!("--siteconfigpath={}", site.display()))
            .arg(format!("--listen={address}"))
            .arg("--allowed-ips=127.0.0.1")
            .args(["--pidfile".into(), scratch.join("spamd.pid")])
            .env("HOME", scratch.path());
        let mut server = Server::start(&mut command, &scratch.join("spamd.out"));
        server.wait_ready(Duration::from_secs(60), || ping(address));
        Self { address, _server: server, _scratch: scratch }
    }

    /// Where it listens, as an address of `[services.NAME]`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("inet:{}", self.address)
    }
}

fn ping(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    stream.write_all(b"PING SPAMC/1.5\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.contains("PONG")
}

const RULES: &str = "\
use_bayes 0
skip_rbl_checks 1
dns_available no
header TEST_MARK Subject =~ /PATTERN/
score TEST_MARK SCORE
";
