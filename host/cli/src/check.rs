//! `wasmilter check`

use crate::{
    configuration::{Configuration, start_quiet_log},
    output,
};
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, process::ExitCode};
use wasmilter_app::{
    App, BuildError,
    config::{Route, diagnostic::Diagnostics},
    telemetry::colours,
};

/// Look for mistakes in a configuration, all at once.
///
/// Reads the file, loads every plugin, compares what it imports with its grants, checks conditions, holds each plugin's
/// configuration against its JSON Schema, and has the plugin check it, too. Opens no listener, no store, and connects to no service.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter check --config wasmilter.toml
  wasmilter check --config wasmilter.toml --json | jq -r '.mistakes[] | \"\\(.file):\\(.line):\\(.column): \\(.message)\"'

With --json prints one object: `ok`, `mistakes` and `warnings` (file, line, column, key, message, help), `stages` (name, plugin, file,
version, isolation, started_from, start, no_snapshot, grants) and `routes` (name, when, stages). Stages in keys count from 0: stage[0] is the first.

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
            let all = json!({"ok": true, "mistakes": [], "warnings": warnings, "stages": app.stages(), "routes": routes(app)});
            output::print(&format!("{all:#}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = app.warnings().render_warnings(colours(&std::io::stdout()));
        for stage in app.stages() {
            let grants = if stage.grants.is_empty() { "nothing".to_owned() } else { stage.grants.join(", ") };
            writeln!(text, "stage {}: plugin {} ({})", stage.name, stage.version, stage.file.display())?;
            writeln!(text, "  starts from {}, isolation {}, can reach: {grants}", stage.started_from, stage.isolation)?;
        }
        for Route { name, when, stages, .. } in &app.config().routes {
            let when = when.as_ref().map_or("all others", |when| &when.value);
            let stages: Vec<&str> = stages.iter().map(|stage| stage.value.as_str()).collect();
            let stages = if stages.is_empty() { "no stage".to_owned() } else { stages.join(", ") };
            writeln!(text, "route {name}: {stages}")?;
            writeln!(text, "  taken by: {when}")?;
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
                json!({"ok": false, "mistakes": mistakes.list(), "warnings": [], "stages": [], "routes": []})
            ))?;
        } else {
            let text = mistakes.render(colours(&std::io::stdout()));
            output::print(&format!("{text}{}\n", mistakes.count()))?;
        }
        Ok(ExitCode::from(1))
    }
}

/// The routes in the order in which they are looked at; `when` is null for the one that takes all others.
fn routes(app: &App) -> Vec<serde_json::Value> {
    let one = |route: &Route| {
        let when = route.when.as_ref().map(|when| &when.value);
        let stages: Vec<&String> = route.stages.iter().map(|stage| &stage.value).collect();
        json!({"name": route.name, "when": when, "stages": stages})
    };
    app.config().routes.iter().map(one).collect()
}
