//! `wasmilter serve`

use crate::{
    configuration::{Configuration, block_on, start_log},
    output,
    pid_file::PidFile,
};
use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};
use wasmilter_app::{App, Inherited, serve::Addresses};

/// Take mail from Postfix or Sendmail until told to stop (SIGTERM, SIGINT).
///
/// Prints one line, "ready: …" with its addresses, once it listens. When told to stop it accepts nothing more and lets
/// messages in flight finish, for limits.shutdown at most; told again, it stops at once. SIGHUP and `wasmilter reload` have it read
/// its configuration again; with a mistake in it everything stays as it was. SIGUSR2 starts the program anew, as it is on disk then: the
/// new process takes the sockets over, this one ends with its last session, and nobody is refused. When the new one can not start,
/// this one goes on.
///
/// Takes sockets from systemd (socket activation) where they are bound to configured addresses, and tells systemd how it is (Type=notify).
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter serve --config /etc/wasmilter/wasmilter.toml
  WASMILTER_LOG=debug wasmilter serve
  wasmilter serve --pid-file /run/wasmilter/pid & ...; kill -USR2 $(cat /run/wasmilter/pid)

In Postfix's main.cf:
  smtpd_milters = inet:127.0.0.1:8891
  milter_default_action = tempfail

Exit codes: 0 stopped as told; 1 could not start, or can not go on; 2 the command line was wrong.")]
pub(crate) struct Serve {
    #[command(flatten)]
    configuration: Configuration,
    /// Where to write the process id once it listens; without systemd, the way to find the process after an upgrade
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let inherited = Inherited::from_environment()?;
        let source = self.configuration.source()?;
        start_log(&source)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %source.path().display(), "starting");
        let app = App::build(&source)?;
        let mut pid_file = None;
        let ready = |addresses: &Addresses| {
            announce(addresses);
            pid_file = self.pid_file.map(PidFile::write);
        };
        block_on(app.serve(inherited, ready))??;
        Ok(ExitCode::SUCCESS)
    }
}

fn announce(addresses: &Addresses) {
    let mut all: Vec<String> = addresses.milter.iter().map(|address| format!("milter {address}")).collect();
    all.extend(addresses.admin.map(|address| format!("admin http://{address}")));
    let line = format!("ready: {}\n", all.join(", "));
    if let Err(error) = output::print(&line) {
        tracing::warn!(%error, "standard output can not be written");
    }
    tracing::info!("{}", line.trim_end());
}
