//! `cargo xtask fuzz`: libFuzzer on the parsers and the milter door, with the stable compiler.
//!
//! `cargo fuzz` would need a nightly one, for the sanitizer. Coverage alone is a pass of LLVM's that the stable compiler runs as well, and
//! the code under test is safe Rust: what is looked for are panics, hangs and broken invariants, not damaged memory.

use crate::{
    process::{self, step},
    root,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A crate of fuzz targets below `host/`.
struct Targets {
    folder: &'static str,
    names: &'static [&'static str],
    /// Builds within a minute or two. The others compile wasmtime with coverage and are built only when they are named.
    light: bool,
    /// More to begin with.
    seeds: Option<&'static str>,
}

const TARGETS: [Targets; 4] = [
    Targets { folder: "message", names: &["parse", "edits", "eml"], light: true, seeds: Some("tests/corpus") },
    Targets { folder: "milter", names: &["session", "stream"], light: true, seeds: None },
    Targets { folder: "app", names: &["configuration"], light: false, seeds: Some("host/app/tests/config") },
    Targets { folder: "wasm", names: &["component", "decision"], light: false, seeds: None },
];

/// What tells libFuzzer where an input has been. Debug assertions and overflow checks are on: what they find is wrong in
/// release builds, too.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions";
/// An input that takes longer is a finding, in seconds.
const SLOWEST: u32 = 20;
/// So is one that needs more memory, in MiB.
const MEMORY: u32 = 2_048;
/// Longest input, in bytes; a longer one finds nothing that this does not.
const LONGEST: u32 = 16_384;

/// The names of the targets of a crate.
pub(crate) fn targets_of(folder: &str) -> impl Iterator<Item = &'static str> {
    TARGETS.iter().filter(move |targets| targets.folder == folder).flat_map(|targets| targets.names).copied()
}

/// Fuzzes the named target, or all light ones, each for so many seconds. `keep`: what reached new code joins the corpus in the
/// repository, which is then minimised.
pub(crate) fn run(target: Option<&str>, seconds: u32, keep: bool) -> Result<()> {
    let mut found = false;
    for targets in &TARGETS {
        let names = targets.names.iter().filter(|name| target.map_or(targets.light, |target| target == **name));
        let mut built = None;
        for name in names {
            found = true;
            let build = match &built {
                Some(build) => build,
                None => built.insert(targets.build()?),
            };
            step(&format!("fuzzing {}: {name}, {seconds} s", targets.folder));
            targets.fuzz(build, name, seconds)?;
            if keep {
                targets.keep(build, name)?;
            }
        }
    }
    if found {
        return Ok(());
    }
    let names: Vec<&str> = TARGETS.iter().flat_map(|targets| targets.names).copied().collect();
    bail!("there is no fuzz target {:?}; there are {}", target.unwrap_or_default(), names.join(", "))
}

impl Targets {
    fn crate_folder(&self) -> PathBuf {
        root().join("host").join(self.folder).join("fuzz")
    }

    fn corpus(&self, name: &str) -> PathBuf {
        self.crate_folder().join("corpus").join(name)
    }

    /// What was found here and is not in the repository.
    fn found(&self, name: &str) -> PathBuf {
        self.crate_folder().join("target/found").join(name)
    }

    /// Builds all of them; gives the directory of the programs.
    fn build(&self) -> Result<PathBuf> {
        step(&format!("building the fuzz targets of {}", self.folder));
        let triple = triple()?;
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(self.crate_folder())
            // Only with a target named do the flags leave build scripts alone. Not --locked: a new dependency of the host changes these
            // lock files as well, and nothing that is shipped is built by them.
            .args(["build", "--release", "--target", &triple])
            .env("RUSTFLAGS", COVERAGE)
            .env_remove("CARGO_TARGET_DIR");
        process::run(&mut cargo)?;
        Ok(self.crate_folder().join("target").join(triple).join("release"))
    }

    fn fuzz(&self, build: &Path, name: &str, seconds: u32) -> Result<()> {
        let (found, corpus) = (self.found(name), self.corpus(name));
        for folder in [&found, &corpus] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let mut fuzzer = Command::new(build.join(name));
        fuzzer
            .current_dir(self.crate_folder())
            .arg(found)
            .arg(corpus)
            .args(self.seeds.map(|seeds| root().join(seeds)))
            .args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}")])
            .args([format!("-timeout={SLOWEST}"), format!("-rss_limit_mb={MEMORY}")])
            // A crashing input is kept here, and named in what is printed.
            .args(["-artifact_prefix=target/", "-print_final_stats=1", "-verbosity=0"]);
        process::run(&mut fuzzer)
    }

    /// Replaces the repository's corpus by the fewest inputs that reach what all of them reach.
    fn keep(&self, build: &Path, name: &str) -> Result<()> {
        let (corpus, merged) = (self.corpus(name), self.found(name).with_extension("merged"));
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        let mut fuzzer = Command::new(build.join(name));
        fuzzer.args(["-merge=1", "-verbosity=0", &format!("-max_len={LONGEST}")]);
        process::run(fuzzer.arg(&merged).arg(self.found(name)).arg(&corpus))?;
        fs::remove_dir_all(&corpus)?;
        fs::rename(&merged, &corpus).with_context(|| format!("replacing {}", corpus.display()))
    }
}

/// The target that the compiler builds for by itself.
fn triple() -> Result<String> {
    let said = process::output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
