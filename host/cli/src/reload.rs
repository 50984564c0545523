//! `wasmilter reload`

use crate::{configuration::Configuration, output};
use anyhow::{Context, Result, bail};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};
use wasmilter_app::config::Config;

/// Have a running daemon read its configuration again.
///
/// Asks at the daemon's admin address and waits until mail is judged by the new configuration. With a mistake in it, everything stays
/// as it was, and the mistakes are shown. No message is lost; what is under way is judged by the configuration that it began with.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter check && wasmilter reload
  wasmilter reload --admin 127.0.0.1:9891

What can not change while the daemon runs: the addresses, limits.workers, [log].

Exit codes: 0 reloaded; 1 refused, or the daemon can not be reached; 2 the command line was wrong.")]
pub(crate) struct Reload {
    #[command(flatten)]
    configuration: Configuration,
    /// The daemon's admin address [default: admin.listen of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

/// Plugins may have to be compiled.
const ANSWER: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(5);
/// No list of mistakes is longer, in bytes.
const LONGEST: u64 = 16 << 20;

impl Reload {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let address = self.address()?;
        let answer = ask(address).with_context(|| format!("asking the daemon at {address}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
        match head.split(' ').nth(1) {
            Some("200") => {
                output::print(body)?;
                Ok(ExitCode::SUCCESS)
            }
            Some("422") => {
                output::print(body)?;
                Ok(ExitCode::FAILURE)
            }
            _ => bail!("{address} answers {:?}: is it the admin address?", head.lines().next().unwrap_or_default()),
        }
    }

    fn address(&self) -> Result<SocketAddr> {
        if let Some(address) = self.admin {
            return Ok(address);
        }
        let source = self.configuration.source()?;
        let (config, _) = Config::parse(&source);
        let admin = config.admin.with_context(|| {
            format!(
                "{} has no [admin] listen: name the address by --admin, or send the daemon SIGHUP",
                source.path().display()
            )
        })?;
        Ok(admin.listen.value)
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_write_timeout(Some(CONNECT))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "POST /reload HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}
