//! Rust: cargo makes core modules for wasm32-unknown-unknown, which import nothing but what they use of the contract:
//! no WASI at all.

use crate::{
    component::{Artefact, Wasi},
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    process::{self, Limit},
    project::Project,
    tool::{Install, Tool},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

pub(super) struct Rust;

const TARGET: &str = "wasm32-unknown-unknown";

const CARGO: Tool = Tool {
    name: "cargo",
    ways: &[&["cargo"]],
    version: &["--version"],
    at_least: "1.85",
    below: "",
    install: Install {
        debian: "apt-get install rustup && rustup default stable",
        fedora: "dnf install rustup && rustup-init -y",
        macos: "brew install rustup && rustup default stable",
        anywhere: "rustup of https://rustup.rs",
    },
};

impl Language for Rust {
    fn tools(&self) -> &'static [Tool] {
        &[CARGO]
    }

    fn prepare(&self, _project: &Project, _contract: &Contract, sdk: &mut Generated) -> Result<()> {
        sdk.add_sdk("rust", "rust");
        Ok(())
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        ensure_target(build.project().folder(), &|what| build.step(what))?;
        let modules = compile(build.tool("cargo")?, &[], &[], &|line| build.progress.line(line))?;
        match modules.as_slice() {
            [module] => Ok(Artefact::Module { bytes: build.read(module)?, wasi: Wasi::None }),
            [] => bail!("cargo made no module: Cargo.toml must have `[lib]` with `crate-type = [\"cdylib\"]`"),
            several => bail!("cargo made {} modules: a project is one plugin", several.len()),
        }
    }
}

/// Compiles packages of the workspace that `cargo` starts in, for WebAssembly (none named: the default ones), and gives the
/// modules. `arguments` are cargo's own, such as `--locked`.
///
/// # Errors
/// [`crate::Failed`] with what cargo said.
pub fn compile(mut cargo: Command, packages: &[&str], arguments: &[&str], line: &dyn Fn(&str)) -> Result<Vec<PathBuf>> {
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.args(arguments);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let modules = Mutex::new(Vec::new());
    process::run(cargo, Limit::default(), &|text| {
        // What cargo says for programs stands between what it says for people.
        let for_people = !text.starts_with("{\"reason\"");
        match for_people {
            true => line(text),
            false => modules.lock().unwrap_or_else(|broken| broken.into_inner()).extend(module_in(text)),
        }
        for_people
    })?;
    Ok(modules.into_inner().unwrap_or_else(|broken| broken.into_inner()))
}

/// The module that a line of cargo's for programs names.
fn module_in(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message.get("reason")?.as_str()? != "compiler-artifact" {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// How long rustup may take to fetch Rust's library for the target.
const RUSTUP_TIME: Duration = Duration::from_secs(300);

/// Makes sure that Rust can compile for WebAssembly; has rustup add the target where it can.
///
/// # Errors
/// When it is not there and rustup can not add it; says how to install it.
pub fn ensure_target(folder: &Path, step: &dyn Fn(&str)) -> Result<()> {
    let mut rustc = Command::new("rustc");
    // A project may choose its toolchain by a file.
    rustc.current_dir(folder).args(["--print", "sysroot"]);
    let sysroot = process::capture(rustc, Duration::from_secs(60)).context("looking for Rust's library")?;
    if fs::exists(Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET)).unwrap_or(false) {
        return Ok(());
    }
    step(&format!("adding the target {TARGET} to Rust"));
    let mut rustup = Command::new("rustup");
    rustup.current_dir(folder).args(["target", "add", TARGET]);
    process::run(rustup, Limit(RUSTUP_TIME), &|_| true).with_context(|| {
        format!(
            "Rust's library for {TARGET} is missing and rustup could not add it. Install it:
    rustup    rustup target add {TARGET}
    Debian    apt-get install libstd-rust-dev-wasm32
    Fedora    dnf install rust-std-static-{TARGET}
    macOS     brew install rustup && rustup default stable && rustup target add {TARGET}"
        )
    })
}
