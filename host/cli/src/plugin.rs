//! `wasmilter plugin`

mod build;
mod inspect;
mod new;
mod push;
mod run;
mod test;

use crate::output;
use anyhow::Result;
use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};
use wasmilter_app::config::{Config, source::Source};
use wasmilter_toolchain::Progress;
use wasmilter_wasm::{Sandbox, SandboxSettings};

/// Write plugins, build them, test them, look at them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
From nothing to a policy:
  wasmilter plugin new subject-filter --lang rust
  cd subject-filter
  wasmilter plugin build
  wasmilter plugin test

The README.md of the new project goes on from there, as far as real mail.")]
pub(crate) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::New),
    Build(build::Build),
    Test(test::Test),
    Run(run::Run),
    Inspect(inspect::Inspect),
    Push(push::Push),
}

/// The project that a command is about.
#[derive(Debug, clap::Args)]
struct Folder {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Plugin {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::New(new) => new.run(),
            Command::Build(build) => build.run(),
            Command::Test(test) => test.run(),
            Command::Run(run) => run.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Push(push) => push.run(),
        }
    }
}

/// A sandbox with the cache of compiled code that the daemon has when its configuration does not say.
fn sandbox() -> Result<Sandbox> {
    let cache = Config::parse(&Source::new("no configuration", "")).0.sandbox.cache;
    let settings = SandboxSettings { slots: 2, cache: Some(cache), ..SandboxSettings::default() };
    // A cache saves time and nothing else.
    let without = |_| Sandbox::new(&SandboxSettings { cache: None, ..settings.clone() });
    Ok(Sandbox::new(&settings).or_else(without)?)
}

/// A titled list, an item a line.
fn list(text: &mut String, title: &str, items: &[String]) -> fmt::Result {
    match items {
        [] => writeln!(text, "{title}: nothing"),
        items => {
            writeln!(text, "{title}:")?;
            items.iter().try_for_each(|item| writeln!(text, "  {item}"))
        }
    }
}

/// Says on a terminal what a build does.
struct Watched {
    /// Show what the tools print, too, terminal or not.
    verbose: bool,
}

impl Progress for Watched {
    fn step(&self, what: &str) {
        output::say(&format!("{what} …"));
    }

    fn line(&self, text: &str) {
        if self.verbose {
            output::tell(text);
        }
    }
}
