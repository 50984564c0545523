//! Embeds the contract (`wit/`), the SDKs (`plugins/sdk/`) and the templates: an installed `wasmilter` makes projects
//! without a checkout of its repository. Not the macro of a library: on stable Rust those do not notice changed files.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What tools leave behind in a source folder.
const LEFT_BEHIND: [&str; 6] = ["target", "build", "node_modules", "__pycache__", ".venv", ".DS_Store"];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let repository = here.join("../..").canonicalize()?;
    let mut list = fs::File::create(out.join("embedded.rs"))?;
    for (name, folder) in [
        ("CONTRACT", repository.join("wit")),
        ("SDK", repository.join("plugins/sdk")),
        ("TEMPLATES", here.join("templates")),
    ] {
        let mut files = Vec::new();
        collect(&folder, "", &mut files)?;
        files.sort();
        writeln!(list, "pub(crate) static {name}: &[(&str, &[u8])] = &[")?;
        for (path, file) in files {
            writeln!(list, "    ({path:?}, include_bytes!({:?})),", file.display().to_string())?;
        }
        writeln!(list, "];")?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Files below `folder` with their paths relative to it, parts joined by `/`.
fn collect(folder: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    // The folder itself: its time changes when a file comes or goes.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if LEFT_BEHIND.contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        // Follows links: an SDK may hold the contract as one.
        if entry.path().is_dir() {
            collect(&entry.path(), &path, files)?;
        } else {
            println!("cargo::rerun-if-changed={}", entry.path().display());
            files.push((path, entry.path()));
        }
    }
    Ok(())
}
