//! Building the bundled plugins and the test guests, by the same crate that builds everybody's plugins.

use crate::{process, root};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command};
use wasmilter_toolchain::{Component, language::rust};

/// Builds the bundled plugins (all, or those named) into `target/plugins/NAME.wasm`.
pub(crate) fn build(names: &[String]) -> Result<()> {
    build_workspace(&root().join("plugins"), &root().join("target/plugins"), names, &["wasmilter-sdk"])
}

/// Builds the test guests into `target/guests/NAME.wasm`.
pub(crate) fn build_guests() -> Result<()> {
    let workspace = root().join("tests/guests");
    if workspace.join("Cargo.toml").exists() {
        build_workspace(&workspace, &root().join("target/guests"), &[], &[])?;
    }
    Ok(())
}

fn build_workspace(workspace: &Path, into: &Path, names: &[String], libraries: &[&str]) -> Result<()> {
    rust::ensure_target(workspace, &|step| eprintln!("{step}"))?;
    let members = members(workspace, libraries)?;
    if let Some(unknown) = names.iter().find(|name| !members.contains(name)) {
        bail!("no plugin named {unknown}; there are: {}", members.join(", "));
    }
    let wanted: Vec<&String> = members.iter().filter(|member| names.is_empty() || names.contains(member)).collect();

    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace).env("CARGO_TARGET_DIR", workspace.join("target"));
    let packages: Vec<&str> = wanted.iter().map(|name| name.as_str()).collect();
    // Plugins are built of what was locked.
    let modules = rust::compile(cargo, &packages, &["--locked"], &|line| eprintln!("{line}"))?;

    fs::create_dir_all(into)?;
    for name in wanted {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let module = modules.iter().find(|module| module.ends_with(&file));
        let module = module.with_context(|| format!("cargo made no {file}"))?;
        componentize(module, &into.join(format!("{name}.wasm")))
            .with_context(|| format!("making a component of plugin {name}"))?;
    }
    Ok(())
}

/// Wraps a core module, which carries its world in a custom section, into a component.
fn componentize(module: &Path, component: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let (encoded, _) = Component::of_module(&bytes)?;
    replace(component, &encoded)
}

/// Writes a file beside and renames it, so that a host that is loading it never sees half of it. An unchanged one keeps its
/// time stamp.
pub(crate) fn replace(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let unfinished = file.with_extension("part");
    fs::write(&unfinished, content).with_context(|| format!("writing {}", unfinished.display()))?;
    fs::rename(&unfinished, file).with_context(|| format!("writing {}", file.display()))
}

/// Names of the packages in a workspace, without its libraries.
fn members(workspace: &Path, libraries: &[&str]) -> Result<Vec<String>> {
    let metadata = process::output(Command::new("cargo").current_dir(workspace).args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages =
        metadata.get("packages").and_then(|packages| packages.as_array()).context("cargo metadata without packages")?;
    let names = packages.iter().filter_map(|package| package.get("name")?.as_str());
    Ok(names.filter(|name| !libraries.contains(name)).map(str::to_owned).collect())
}
