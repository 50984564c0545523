//! `cargo xtask test`: everything that the tests need, then the tests.

use crate::{examples, fuzz, plugins, process, root};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

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
    )?;

    if filter.is_empty() {
        sdks(&root)?;
        for target in fuzz::targets_of("milter") {
            fuzz::run(Some(target), FUZZING, false)?;
        }
    }
    Ok(())
}

/// Seconds for each fuzz target of the milter door: enough to see that they build and run, and that nothing is found at once. Who
/// changes what is fuzzed runs it longer (`cargo xtask fuzz --seconds 600 --keep`).
const FUZZING: u32 = 20;

/// The tests that the SDKs of other languages have in their own languages.
fn sdks(root: &Path) -> Result<()> {
    let tools = root.join("target/tools/.venv/bin");
    // Go and Node.js may be there only as tools of ours.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::env::split_paths(&path).chain([tools.clone()]))?;
    for (language, folder, program, arguments) in [
        ("Go", "go", PathBuf::from("go"), &["test", "./..."][..]),
        ("JavaScript", "javascript", PathBuf::from("node"), &["--test"]),
        ("Python", "python", tools.join("python"), &["-m", "pytest", "-q"]),
    ] {
        process::step(&format!("tests of the SDK for {language}"));
        let mut command = Command::new(program);
        process::run(command.current_dir(root.join("plugins/sdk").join(folder)).env("PATH", &path).args(arguments))?;
    }
    Ok(())
}
