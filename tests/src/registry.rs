//! A private OCI registry (Debian's docker-registry) that keeps its files where a test can tamper with them.

use crate::{ports, scratch::Scratch, server::Server};
use std::{net::TcpStream, path::PathBuf, process::Command, time::Duration};

/// A user who may log in where `auth` of [`Registry::with_login`] is asked for.
pub const USER: &str = "carol";
/// Her password.
pub const PASSWORD: &str = "correct horse";
/// The same by bcrypt, with the lowest cost.
const HTPASSWD: &str = "carol:$2b$04$yqkK5ckVePjdfhnQw4WyiepCDlzsaSGRprfWLeG572tMjv2RX5JU2\n";

/// The server. It speaks plain HTTP.
#[derive(Debug)]
pub struct Registry {
    host: String,
    server: Server,
    scratch: Scratch,
}

impl Registry {
    /// Starts one that takes and gives to everybody.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one that wants a login: [`USER`], [`PASSWORD`].
    #[must_use]
    pub fn with_login() -> Self {
        Self::start_with("auth: { htpasswd: { realm: test, path: SCRATCH/htpasswd } }\n")
    }

    fn start_with(more: &str) -> Self {
        let scratch = Scratch::new("registry");
        let host = format!("127.0.0.1:{}", ports::free());
        scratch.write("htpasswd", HTPASSWD);
        let config = format!("{CONF}{more}").replace("ADDRESS", &host);
        let config = scratch.write("config.yml", config.replace("SCRATCH", &scratch.path().display().to_string()));
        let mut server = Server::start(
            Command::new("/usr/bin/docker-registry").arg("serve").arg(config),
            &scratch.join("registry.log"),
        );
        server.wait_ready(Duration::from_secs(60), || TcpStream::connect(&host).is_ok());
        Self { host, server, scratch }
    }

    /// `HOST:PORT`
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The file in which it keeps what has this digest (64 hexadecimal digits).
    #[must_use]
    pub fn stored(&self, hex: &str) -> PathBuf {
        self.scratch.join(&format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// Ends it; its files stay as long as this does.
    pub fn stop(&mut self) {
        self.server.stop();
    }
}

const CONF: &str = "\
version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: SCRATCH/data } }
http: { addr: \"ADDRESS\" }
";
