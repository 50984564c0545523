//! `cargo xtask bench`: builds what is measured, for release, and measures it.

use crate::{examples, plugins, process, root};
use anyhow::{Context, Result};
use std::{fs, process::Command};
use wasmilter_toolchain::Project;

/// Installs the filters that Wasmilter is compared with where they are missing, builds everything, and runs the benchmark with
/// these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = root();
    process::step("filters to compare with");
    process::run(Command::new("bash").arg(root.join("tests/bench/install.sh")))
        .context("the benchmark compares with libmilter, pymilter, MIMEDefang, clamav-milter, rspamd and Postfix")?;
    process::run(Command::new("bash").arg(root.join("tests/servers/install.sh")))?;
    examples::install_tools()?;

    process::step("plugins");
    plugins::build(&[])?;
    plugins::build_guests()?;
    let built = root.join("target/bench");
    fs::create_dir_all(&built)?;
    for name in ["noop-js", "noop-python"] {
        let project = Project::open(&root.join("tests/bench/plugins").join(name))?;
        let component = project.build(&()).with_context(|| format!("building {name}"))?;
        fs::copy(&component.path, built.join(format!("{name}.wasm")))?;
    }

    process::step("host, for release");
    process::cargo(
        &root,
        &["build", "--locked", "--release", "--package", "wasmilter", "--package", "wasmilter-bench"],
    )?;

    process::step("measuring");
    process::run(Command::new(root.join("target/release/wasmilter-bench")).current_dir(&root).args(arguments))
}
