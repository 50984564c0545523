//! A private rspamd without its stock rules, network look-ups and data bases: one rule of ours, so that scores are
//! known, and GTUBE, which is built in.

use crate::{ports, scratch::Scratch, server::Server};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
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
    _server: Server,
    _scratch: Scratch,
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
        let mut server = Server::start(
            Command::new("/usr/bin/rspamd").args(["-f", "-i", "-c"]).arg(config),
            &scratch.join("rspamd.out"),
        );
        server.wait_ready(Duration::from_secs(120), || TcpStream::connect(address).is_ok());
        Self { address, _server: server, _scratch: scratch }
    }

    /// Where its scanner listens, as an address of `[services.NAME]`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("inet:{}", self.address)
    }
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
