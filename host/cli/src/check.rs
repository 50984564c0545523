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
/// Reads the file, loads every plugin, compares what it imports with its grants, checks conditions, holds each plugin's
/// configuration against its JSON Schema, and has the plugin check it, too. Opens no listener, no store, and connects to no service.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter check --config wasmilter.toml
  wasmilter check --config wasmilter.toml --json | jq -r '.mistakes[] | \"\\(.file):\\(.line):\\(.column): \\(.message)\"'

With --json prints one object: `ok`, `mistakes` and `warnings` (file, line, column, key, message, help) and `stages` (name, plugin, file,
version, isolation, started_from, start, no_snapshot, grants). Stages in keys count from 0: stage[0] is the first.

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
        match App::build_aside(&source) {
            Ok(app) => self.approve(&app),
            Err(BuildError::Config(mistakes)) => self.report(&mistakes),
            Err(error) => Err(error.into()),
        }
    }

    fn approve(&self, app: &App) -> Result<ExitCode> {
        if self.json {
            let warnings = app.warnings().list();
            let all = json!({"ok": true, "mistakes": [], "warnings": warnings, "stages": app.stages()});
            output::print(&format!("{all:#}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = app.warnings().render_warnings(colours(&std::io::stdout()));
        for stage in app.stages() {
            let grants = if stage.grants.is_empty() { "nothing".to_owned() } else { stage.grants.join(", ") };
            writeln!(text, "stage {}: plugin {} ({})", stage.name, stage.version, stage.file.display())?;
            writeln!(text, "  starts from {}, isolation {}, can reach: {grants}", stage.started_from, stage.isolation)?;
        }
        let warnings = match app.warnings().list().len() {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            n => format!(", {n} warnings"),
        };
        writeln!(text, "{}: no mistakes{warnings}", app.config().source.path().display())?;
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, mistakes: &Diagnostics) -> Result<ExitCode> {
        if self.json {
            output::print(&format!(
                "{:#}\n",
                json!({"ok": false, "mistakes": mistakes.list(), "warnings": [], "stages": []})
            ))?;
        } else {
            let text = mistakes.render(colours(&std::io::stdout()));
            output::print(&format!("{text}{}\n", mistakes.count()))?;
        }
        Ok(ExitCode::from(1))
    }
}
