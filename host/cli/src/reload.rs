//! `wasmilter reload`

use crate::{
    admin::{self, Admin},
    output,
};
use anyhow::{Result, bail};
use std::{process::ExitCode, time::Duration};

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
    daemon: Admin,
}

/// Plugins may have to be compiled.
const ANSWER: Duration = Duration::from_secs(600);

impl Reload {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let address = self.daemon.address()?;
        let answer = admin::ask(address, "POST", "/reload", ANSWER)?;
        let code = match answer.status {
            200 => ExitCode::SUCCESS,
            422 => ExitCode::FAILURE,
            status => bail!("{address} answers {status}: is it the admin address?"),
        };
        output::print(&answer.text()?)?;
        Ok(code)
    }
}
