//! Running other programs.

use anyhow::{Context, Result, bail};
use std::{path::Path, process::Command};

/// Runs a program with its output shown, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Runs cargo in a workspace.
pub(crate) fn cargo(workspace: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("cargo").current_dir(workspace).args(arguments))
}

/// Runs a program and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Announces what comes next, for whoever watches.
pub(crate) fn step(name: &str) {
    eprintln!("==> {name}");
}
