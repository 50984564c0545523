//! `wasmilter plugin`

use crate::{configuration::start_quiet_log, output};
use anyhow::Result;
use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};
use wasmilter_app::inspect::{Inspection, inspect};

/// Look at plugins.
#[derive(Debug, clap::Args)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Inspect(Inspect),
}

/// Show what a plugin is: its description, what it exports and imports, and what it needs granted.
///
/// Compiles the plugin and has it describe itself in a sandbox without any grants. Nothing is configured.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin inspect target/plugins/virus.wasm
  wasmilter plugin inspect --json plugin.wasm | jq -r '.needs_grants[]'

With --json prints one object: `info` (name, version, summary, grants, config_schema), `phases`, `exports`, `imports`,
`needs_grants`, `optional_grants`, `unknown_imports`, `size`.

Exit codes: 0 it is a plugin; 1 it is none; 2 the command line was wrong.")]
struct Inspect {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Plugin {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Inspect(inspect) => inspect.run(),
        }
    }
}

impl Inspect {
    fn run(self) -> Result<ExitCode> {
        start_quiet_log(None)?;
        let inspection = inspect(&self.file)?;
        let text = match self.json {
            true => format!("{}\n", serde_json::to_string_pretty(&inspection)?),
            false => describe(&inspection)?,
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(inspection: &Inspection) -> Result<String, fmt::Error> {
    let info = &inspection.info;
    let mut text = String::new();
    writeln!(text, "{} {}, {} bytes", info.name, info.version, inspection.size)?;
    writeln!(text, "{}\n", info.summary)?;
    list(&mut text, "exports", &inspection.exports)?;
    list(&mut text, "imports", &inspection.imports)?;
    list(&mut text, "needs granted", &inspection.needs_grants)?;
    list(&mut text, "makes use of, when granted", &info.grants)?;
    if !inspection.unknown_imports.is_empty() {
        list(&mut text, "imports that this version of wasmilter does not have", &inspection.unknown_imports)?;
    }
    Ok(text)
}

fn list(text: &mut String, title: &str, items: &[String]) -> fmt::Result {
    match items {
        [] => writeln!(text, "{title}: nothing"),
        items => {
            writeln!(text, "{title}:")?;
            items.iter().try_for_each(|item| writeln!(text, "  {item}"))
        }
    }
}
