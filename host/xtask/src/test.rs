//! `cargo xtask test`: everything that the tests need, then the tests.

use crate::{examples, plugins, process, root};
use anyhow::{Context, Result};
use std::process::Command;

/// Installs the test servers, builds plugins, guests and the host, and runs every test, or those that `filter` names.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    let root = root();
    process::step("test servers");
    process::run(Command::new("bash").arg(root.join("tests/servers/install.sh")))
        .context("the end-to-end tests need real Postfix, Sendmail, clamd and rspamd")?;

    process::step("tools of the examples' languages");
    examples::install_tools()?;

    process::step("plugins, test guests, examples");
    plugins::build(&[])?;
    plugins::build_guests()?;
    examples::build(&[])?;

    process::step("host");
    // Builds target/debug/wasmilter too, which the end-to-end tests start. A `cargo build` for it alone would choose
    // other features for shared dependencies, and compile wasmtime a second time.
    process::cargo(&root, &["test", "--locked", "--workspace", "--no-run"])?;

    process::step("tests of the host");
    let mut host = Command::new("cargo");
    process::run(
        host.current_dir(&root).args(["test", "--locked", "--workspace", "--no-fail-fast", "--"]).args(filter),
    )?;

    process::step("tests of the plugins");
    let mut plugins = Command::new("cargo");
    process::run(
        plugins.current_dir(root.join("plugins")).args(["test", "--locked", "--no-fail-fast", "--"]).args(filter),
    )
}
