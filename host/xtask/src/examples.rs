//! `cargo xtask examples`: the plugins of `examples/plugins/`, each a project in another language.

use crate::{plugins, process, root};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use wasmilter_toolchain::Project;

/// What tools and we ourselves make in a project; besides, what begins with a dot.
const NOT_SOURCE: [&str; 5] = ["build", "cases", "target", "node_modules", "__pycache__"];

/// Installs the tools that the examples' languages need, where they are missing, into `target/tools`, where the tool chain crate
/// looks for them (`.cargo/config.toml`).
pub(crate) fn install_tools() -> Result<()> {
    process::run(Command::new("bash").arg(root().join("host/toolchain/install.sh")))
        .context("the examples and the templates need the tools of their languages")
}

/// Builds the examples (all, or those named) into `target/examples/NAME.wasm`. Those whose source, contract and SDK are the same as
/// last time are left as they are.
pub(crate) fn build(names: &[String]) -> Result<()> {
    let folder = root().join("examples/plugins");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.join("plugin.toml").exists() {
            all.push(Project::open(&path)?);
        }
    }
    all.sort_by(|one, other| one.name().cmp(other.name()));
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|project| project.name() == **name)) {
        let known: Vec<&str> = all.iter().map(Project::name).collect();
        bail!("no example named {unknown}; there are: {}", known.join(", "));
    }
    all.retain(|project| names.is_empty() || names.iter().any(|name| name == project.name()));
    all.iter()
        .try_for_each(|project| build_one(project).with_context(|| format!("building the example {}", project.name())))
}

fn build_one(project: &Project) -> Result<()> {
    let into = root().join("target/examples");
    fs::create_dir_all(&into)?;
    let component = into.join(format!("{}.wasm", project.name()));
    let stamp = into.join(format!("{}.sha256", project.name()));
    project.prepare()?;
    let before = digest(project.folder())?;
    if component.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == before) {
        return Ok(());
    }
    eprintln!("building {} ({})", project.name(), project.language().in_words());
    let built = project.build(&())?;
    plugins::replace(&component, &fs::read(&built.path)?)?;
    // A first build may have written a lock file.
    plugins::replace(&stamp, digest(project.folder())?.as_bytes())
}

/// Of everything that the result depends on but the tools, whose versions are pinned: source, and the generated `sdk/`
/// with contract, SDK and bindings.
fn digest(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(folder)?.to_string_lossy().into_owned();
        let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    Ok(format!("{:x}\n", hash.finalize()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || NOT_SOURCE.contains(&name.as_str()) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}
