//! `wasmilter check`

use crate::{
    configuration::{Configuration, start_quiet_log},
    output,
};
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, process::ExitCode};
use wasmilter_app::{App, BuildError, config::diagnostic::Diagnostics, telemetry::colours};

/// Look for mistakes in a configuration, all at once.
///
/// Reads the file, loads every plugin, compares what it imports with its grants, checks conditions, and has each plugin
/// check its own configuration. Opens no listener and connects to no service.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter check --config wasmilter.toml
  wasmilter check --config wasmilter.toml --json | jq -r '.mistakes[] | \"\\(.file):\\(.line):\\(.column): \\(.message)\"'

With --json prints one object: `ok`, `mistakes` (file, line, column, key, message, help) and `stages` (name, plugin, file,
version, isolation, started_from, grants). Stages in keys count from 0: stage[0] is the first.

Exit codes: 0 no mistakes; 1 mistakes; 2 the command line was wrong.")]
pub(crate) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let source = match self.configuration.source() {
            Ok(source) => source,
            Err(error) => {
                let mistakes = error.downcast::<Diagnostics>()?;
                return self.report(&mistakes);
            }
        };
        start_quiet_log(Some(&source))?;
        match App::build(&source) {
            Ok(app) => self.approve(&app),
            Err(BuildError::Config(mistakes)) => self.report(&mistakes),
            Err(error) => Err(error.into()),
        }
    }

    fn approve(&self, app: &App) -> Result<ExitCode> {
        if self.json {
            output::print(&format!("{:#}\n", json!({"ok": true, "mistakes": [], "stages": app.stages()})))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = String::new();
        for stage in app.stages() {
            let grants = if stage.grants.is_empty() { "nothing".to_owned() } else { stage.grants.join(", ") };
            writeln!(text, "stage {}: plugin {} ({})", stage.name, stage.version, stage.file.display())?;
            writeln!(
                text,
                "  a fresh start from {}, isolation {}, granted {grants}",
                stage.started_from, stage.isolation
            )?;
        }
        writeln!(text, "{}: no mistakes", app.config().source.path().display())?;
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, mistakes: &Diagnostics) -> Result<ExitCode> {
        if self.json {
            output::print(&format!("{:#}\n", json!({"ok": false, "mistakes": mistakes.list(), "stages": []})))?;
        } else {
            let text = mistakes.render(colours(&std::io::stdout()));
            output::print(&format!("{text}{}\n", mistakes.count()))?;
        }
        Ok(ExitCode::from(1))
    }
}
