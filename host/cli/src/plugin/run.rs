//! `wasmilter plugin run`

use super::Watched;
use crate::{
    configuration::{block_on, start_quiet_log},
    explain::Explanation,
    json, output,
    trial::{Sender, read},
};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use wasmilter_app::{App, config::source::Source};
use wasmilter_toolchain::{Project, alone};

/// Show what a plugin project decides about one message.
///
/// Builds the plugin when a source changed, and runs it alone, with everything granted but services: opening one is denied. A test case
/// can say what services answer.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin run message.eml
  wasmilter plugin run --config settings.toml --client 203.0.113.7 --from a@example.org message.eml
  wasmilter plugin run --config cases/spam-phrase/transaction.toml cases/spam-phrase/message.eml

With --json prints one object, as `wasmilter try --json` does.

Exit codes: 0 there is a verdict, whichever; 1 it did not work: the build, the configuration, a file; 2 the command line was wrong.")]
pub(super) struct Run {
    /// File with the message; - reads standard input
    #[arg(value_name = "MESSAGE.eml")]
    message: PathBuf,
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The plugin's configuration, TOML or JSON; of a case's transaction.toml, the table config
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    sender: Sender,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<ExitCode> {
        start_quiet_log(None)?;
        let original = read(&self.message)?;
        let project = Project::open(&self.folder)?;
        let built = project.build_if_stale(&Watched { verbose: false })?;
        let text = alone(project.name(), &built.path, self.config.as_deref())?;
        // Files that the configuration names are relative to it.
        let beside = self.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let app = App::build_aside(&Source::new(beside.join("plugin run"), text))?;
        let outcome = block_on(app.try_message(self.sender.trial(&original)))?;
        match self.json {
            true => output::print(&format!("{:#}\n", json::outcome(&outcome)))?,
            false => output::print(&Explanation(&outcome).to_string())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
