//! The admin address of a running daemon, and how it is asked.

use crate::configuration::Configuration;
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use wasmilter_app::config::Config;

/// `--config` and `--admin`, the same for every command that asks a daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    configuration: Configuration,
    /// The daemon's admin address [default: admin.listen of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

/// The head of an answer, and its body as it comes.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: BufReader<TcpStream>,
}

const CONNECT: Duration = Duration::from_secs(5);
/// Longest line of a head, in bytes.
const LINE: u64 = 16 << 10;
/// Lines in a head.
const LINES: usize = 100;
/// Longest body that is read as a whole, in bytes.
const LONGEST: u64 = 64 << 20;

impl Admin {
    /// Where the daemon can be asked.
    ///
    /// # Errors
    /// When nobody says.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        if let Some(address) = self.admin {
            return Ok(address);
        }
        let source = self.configuration.source()?;
        let (config, _) = Config::parse(&source);
        let admin = config.admin.with_context(|| {
            format!("{} has no [admin] listen: name the daemon's admin address by --admin", source.path().display())
        })?;
        Ok(admin.listen.value)
    }
}

/// Asks the daemon at `address`; `silence` bounds every wait for more of its answer.
///
/// # Errors
/// When it can not be reached, or what it says is not HTTP.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, silence: Duration) -> Result<Answer> {
    let asked = || -> std::io::Result<(String, BufReader<TcpStream>)> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_write_timeout(Some(CONNECT))?;
        stream.set_read_timeout(Some(silence))?;
        // By 1.0 the body ends with the connection, and comes without the frames of 1.1.
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")?;
        let mut body = BufReader::new(stream);
        let first = line(&mut body)?;
        for _ in 0..LINES {
            if line(&mut body)?.is_empty() {
                break;
            }
        }
        Ok((first, body))
    };
    let (first, body) = asked().with_context(|| format!("asking the daemon at {address}"))?;
    match first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok()) {
        Some(status) => Ok(Answer { status, body }),
        None => bail!("{address} answers {first:?}: is it the admin address?"),
    }
}

fn line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    from.take(LINE).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

impl Answer {
    /// All of the body.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub(crate) fn text(self) -> Result<String> {
        let mut text = String::new();
        self.body.take(LONGEST).read_to_string(&mut text).context("reading the daemon's answer")?;
        Ok(text)
    }

    /// The body, line by line as it comes.
    pub(crate) fn lines(self) -> impl Iterator<Item = std::io::Result<String>> {
        self.body.lines()
    }
}
