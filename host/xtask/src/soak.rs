//! `cargo xtask soak`: one host process under load and misfortune, for an hour or as long as one likes.

use crate::{plugins, process, root};
use anyhow::{Context, Result};
use std::process::Command;

/// Builds what is needed and runs the soak with these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = root();
    process::step("test servers");
    process::run(Command::new("bash").arg(root.join("tests/servers/install.sh"))).context("the soak needs clamd")?;
    process::step("plugins and test guests");
    plugins::build(&[])?;
    plugins::build_guests()?;
    process::step("host");
    // As for the tests, which have the same features of dependencies.
    process::cargo(&root, &["test", "--locked", "--workspace", "--no-run"])?;
    process::step("soaking");
    process::run(Command::new(root.join("target/debug/wasmilter-soak")).current_dir(&root).args(arguments))
}
