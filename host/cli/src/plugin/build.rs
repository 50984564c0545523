//! `wasmilter plugin build`

use super::{Folder, Watched, list};
use crate::output;
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, process::ExitCode};
use wasmilter_toolchain::{Built, Project};

/// Build a plugin project with its language's own tools, and check the result against the contract.
///
/// Writes build/NAME.wasm, and the folder sdk/ anew. When tools are missing, it says how to install them. A component that imports or
/// exports anything that is not in the contract is refused.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin build
  wasmilter plugin build --json subject-filter | jq -r .file

With --json prints one object: `file`, `size` (bytes), `exports`, `imports` (interfaces of the contract), `needs_grants` (what a stage \
must grant by these imports; edits and services need grants of their own).

Tools are looked for in the project (.venv/bin, node_modules/.bin), then below the folder that WASMILTER_TOOLS names, then in PATH. \
Ctrl-C ends them too.

Exit codes: 0 built; 1 it did not work: tools are missing, the source has errors, the result does not fit the contract; 2 the command \
line was wrong.")]
pub(super) struct Build {
    #[command(flatten)]
    folder: Folder,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show what the tools print
    #[arg(long, short)]
    verbose: bool,
}

impl Build {
    pub(super) fn run(self) -> Result<ExitCode> {
        let project = Project::open(&self.folder.folder)?;
        let built = project.build(&Watched { verbose: self.verbose })?;
        let text = match self.json {
            true => format!("{:#}\n", as_json(&built)),
            false => describe(&built)?,
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(built: &Built) -> serde_json::Value {
    json!({
        "file": built.path,
        "size": built.size,
        "exports": built.component.exports,
        "imports": built.component.imports,
        "needs_grants": built.component.grants_needed,
    })
}

fn describe(built: &Built) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "{}, {} bytes", output::near(&built.path), built.size)?;
    list(&mut text, "exports", &built.component.exports)?;
    list(&mut text, "imports", &built.component.imports)?;
    list(&mut text, "needs granted", &built.component.grants_needed)?;
    Ok(text)
}
