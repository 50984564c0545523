//! The recipes of this repository: `cargo xtask` lists them.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool for the terminal")]

mod bench;
mod check;
mod examples;
mod fuzz;
mod manual;
mod plugins;
mod process;
mod run;
mod soak;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Recipes of the Wasmilter repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Build the bundled plugins into target/plugins and the test guests into target/guests.
    Plugins {
        /// Only these bundled plugins, no guests; everything when none is named.
        names: Vec<String>,
    },
    /// Build the plugins of examples/plugins, in seven languages, into target/examples; installs nothing.
    Examples {
        /// Only these; all when none is named.
        names: Vec<String>,
    },
    /// Install the tools of those languages into target/tools, where they are missing.
    Tools,
    /// Write wit/REFERENCE.md, the manual of the contract, from the comments in wit/.
    Manual,
    /// Build everything, show what becomes of six demonstration messages, keep serving.
    Run {
        /// Stop after the demonstration.
        #[arg(long)]
        once: bool,
    },
    /// Install the test servers (Postfix, Sendmail, clamd, rspamd, …) and the tools of the examples' languages where missing, then
    /// run every test.
    Test {
        /// Passed on to `cargo test`: names of tests to run.
        filter: Vec<String>,
    },
    /// Measure Wasmilter beside other milters, all of them in turns; `cargo xtask bench -- --help` tells how.
    Bench {
        /// Passed on to the benchmark.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Fuzz what reads from outside, with libFuzzer.
    Fuzz {
        /// One target; all that build quickly when none is named.
        target: Option<String>,
        /// For each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Add what was found to the corpus in the repository, and minimise that.
        #[arg(long)]
        keep: bool,
    },
    /// One host process under load for an hour, with plugins, services and clients that misbehave; every answer is checked.
    /// `cargo xtask soak --help` tells how.
    Soak {
        /// Passed on to the soak: `--minutes 60 --seed 1`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Formatting, lints, documentation; licences and advisories where cargo-deny is installed.
    Check,
}

fn main() -> Result<()> {
    match Arguments::parse().recipe {
        Recipe::Plugins { names } if names.is_empty() => {
            plugins::build(&[])?;
            plugins::build_guests()
        }
        Recipe::Plugins { names } => plugins::build(&names),
        Recipe::Examples { names } => examples::build(&names),
        Recipe::Tools => examples::install_tools(),
        Recipe::Manual => manual::write(),
        Recipe::Run { once } => run::run(once),
        Recipe::Test { filter } => test::run(&filter),
        Recipe::Bench { arguments } => bench::run(&arguments),
        Recipe::Fuzz { target, seconds, keep } => fuzz::run(target.as_deref(), seconds, keep),
        Recipe::Soak { arguments } => soak::run(&arguments),
        Recipe::Check => check::run(),
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.clone(), PathBuf::from)
}
