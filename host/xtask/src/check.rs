//! `cargo xtask check`: what a review should not have to say.

use crate::{
    manual, plugins,
    process::{self, cargo},
    root,
};
use anyhow::Result;
use std::process::Command;

/// Formatting, lints and documentation of all workspaces; licences and advisories where cargo-deny is installed.
pub(crate) fn run() -> Result<()> {
    let root = root();
    let workspaces = [root.clone(), root.join("plugins"), root.join("tests/guests")];

    process::step("formatting");
    for workspace in &workspaces {
        cargo(workspace, &["fmt", "--all", "--check"])?;
    }

    process::step("lints");
    for workspace in &workspaces {
        cargo(
            workspace,
            &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"],
        )?;
    }

    process::step("documentation");
    let mut doc = Command::new("cargo");
    doc.current_dir(&root).env("RUSTDOCFLAGS", "--deny warnings");
    process::run(doc.args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--quiet"]))?;

    process::step("the manual of the contract");
    manual::check()?;

    process::step("what the bundled plugins import");
    plugins::build(&[])?;

    if Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        process::step("licences and advisories");
        cargo(&root, &["deny", "--locked", "check"])?;
    } else {
        eprintln!("licences and advisories were not checked: cargo-deny is not installed");
    }
    Ok(())
}
