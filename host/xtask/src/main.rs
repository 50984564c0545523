//! The recipes of this repository: `cargo xtask` lists them.

mod plugins;
mod process;

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
        /// Only these; all when none is named.
        names: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().recipe {
        Recipe::Plugins { names } => {
            plugins::build(&names)?;
            plugins::build_guests()
        }
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.clone(), PathBuf::from)
}
