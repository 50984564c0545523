//! Building plugins: cargo makes core modules for wasm32-unknown-unknown, `wit-component` makes components of them.
//! Nothing else is needed: no wasm-tools, no cargo-component, no WASI.

use crate::{process, root};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

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
    ensure_target()?;
    let members = members(workspace, libraries)?;
    if let Some(unknown) = names.iter().find(|name| !members.contains(name)) {
        bail!("no plugin named {unknown}; there are: {}", members.join(", "));
    }
    let wanted: Vec<&String> = members.iter().filter(|member| names.is_empty() || names.contains(member)).collect();

    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace).args(["build", "--quiet", "--release", "--locked", "--target", TARGET]);
    cargo.env_remove("CARGO_TARGET_DIR").env("CARGO_TARGET_DIR", workspace.join("target"));
    for name in &wanted {
        cargo.args(["--package", name]);
    }
    process::run(&mut cargo)?;

    fs::create_dir_all(into)?;
    for name in wanted {
        let module = workspace.join(format!("target/{TARGET}/release/{}.wasm", name.replace('-', "_")));
        let component = into.join(format!("{name}.wasm"));
        componentize(&module, &component).with_context(|| format!("making a component of plugin {name}"))?;
    }
    Ok(())
}

/// Wraps a core module, which carries its world in a custom section, into a component.
fn componentize(module: &Path, component: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let encoded = ComponentEncoder::default().module(&bytes)?.validate(true).encode()?;
    refuse_foreign_imports(&encoded)?;
    // An unchanged file keeps its time stamp.
    if fs::read(component).is_ok_and(|old| old == encoded) {
        return Ok(());
    }
    // Written beside and renamed, so that a host that is loading it never sees half a file.
    let unfinished = component.with_extension("wasm.part");
    fs::write(&unfinished, encoded)?;
    fs::rename(&unfinished, component)?;
    Ok(())
}

/// Fails when a component imports anything but our contract: several "pure Rust" crates pull JavaScript or WASI
/// imports on this target, and each would widen what a plugin can reach.
fn refuse_foreign_imports(component: &[u8]) -> Result<()> {
    let mut foreign = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import?.name.name.to_owned();
                    if !name.starts_with("wasmilter:policy/") {
                        foreign.push(name);
                    }
                }
            }
            _ => {}
        }
    }
    if !foreign.is_empty() {
        bail!("it imports what is not in wit/: {}", foreign.join(", "));
    }
    Ok(())
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

/// Makes sure that Rust can compile for WebAssembly.
fn ensure_target() -> Result<()> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if PathBuf::from(sysroot.trim()).join("lib/rustlib").join(TARGET).exists() {
        return Ok(());
    }
    eprintln!("adding the target {TARGET} to Rust");
    process::run(Command::new("rustup").args(["target", "add", TARGET])).with_context(|| {
        format!("Rust's standard library for {TARGET} is missing; with rustup: `rustup target add {TARGET}`; from a distribution: its package of Rust's standard library for {TARGET} (Debian: libstd-rust-dev-wasm32)")
    })
}
