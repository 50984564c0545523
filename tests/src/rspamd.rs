//! A private rspamd without its stock rules, network look-ups and data bases: one rule of ours, so that scores are
//! known, and GTUBE, which is built in.

use crate::{ports, scratch::Scratch, server::Server};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A subject with this word scores [`SCORE`].
pub const MARK: &str = "rspamd-test-mark";
/// What [`MARK`] scores.
pub const SCORE: f64 = 7.5;

/// The server.
#[derive(Debug)]
pub struct Rspamd {
    address: SocketAddr,
    config: PathBuf,
    server: Server,
    scratch: Scratch,
}

impl Rspamd {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let scratch = Scratch::new("rspamd");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        scratch.write("rules.lua", RULES.replace("MARK", MARK).replace("SCORE", &SCORE.to_string()));
        let config =
            CONF.replace("SCRATCH", &scratch.path().display().to_string()).replace("ADDRESS", &address.to_string());
        let config = scratch.write("rspamd.conf", config);
        let server = run(&config, &scratch);
        let mut rspamd = Self { address, config, server, scratch };
        rspamd.wait_ready();
        rspamd
    }

    /// Ends it as a crash would, or when it has ended already, does nothing.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`Self::kill`] and waits until it takes connections.
    pub fn restart(&mut self) {
        self.server = run(&self.config, &self.scratch);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let address = self.address;
        self.server.wait_ready(Duration::from_secs(120), || TcpStream::connect(address).is_ok());
    }

    /// Where its scanner listens, as an address of `[services.NAME]`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("inet:{}", self.address)
    }
}

fn run(config: &Path, scratch: &Scratch) -> Server {
    Server::start(Command::new("/usr/bin/rspamd").args(["-f", "-i", "-c"]).arg(config), &scratch.join("rspamd.out"))
}

const CONF: &str = r#"
options {
  pidfile = "SCRATCH/rspamd.pid";
  filters = "";
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }
  control_socket = "SCRATCH/control.sock mode=0600";
  allow_raw_input = true;
}
logging { type = "file"; filename = "SCRATCH/rspamd.log"; level = "warning"; }
metric { name = "default"; actions { reject = 15; add_header = 6; greylist = 400; } }
lua = "SCRATCH/rules.lua";
worker "normal" {
  count = 1;
  bind_socket = "ADDRESS";
}
"#;

const RULES: &str = r#"
rspamd_config:register_symbol({
  name = "TEST_MARK",
  score = SCORE,
  callback = function(task)
    local subject = task:get_subject()
    return subject ~= nil and subject:find("MARK", 1, true) ~= nil
  end,
})
"#;
