//! `wasmilter plugin new`

use crate::output;
use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::{path::PathBuf, process::ExitCode};
use wasmilter_toolchain::{LanguageName, Project};

/// Write a new plugin project: a policy of a few lines that builds, with two test cases.
///
/// The policy is the same in every language: it rejects mail by phrases in the subject and marks the rest. The project's README.md
/// leads from there to real mail.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin new subject-filter --lang rust
  wasmilter plugin new subject-filter --lang go --dir ~/src/filter

Exit codes: 0 done; 1 it did not work, nothing was overwritten; 2 the command line was wrong.")]
pub(super) struct New {
    /// The plugin's name: words of lower-case letters and digits, joined by -
    #[arg(value_name = "NAME")]
    name: String,
    /// The language that it will be written in
    #[arg(long, value_name = "LANGUAGE", value_parser = languages())]
    lang: LanguageName,
    /// The folder to make [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

fn languages() -> impl TypedValueParser<Value = LanguageName> {
    PossibleValuesParser::new(LanguageName::ALL.map(LanguageName::as_str)).try_map(|name| name.parse::<LanguageName>())
}

impl New {
    pub(super) fn run(self) -> Result<ExitCode> {
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let project = Project::create(&self.name, self.lang, &folder)?;
        output::print(&format!(
            "{folder} is a plugin in {language}. Next:\n  cd {folder}\n  wasmilter plugin build\n  wasmilter plugin test\n",
            folder = folder.display(),
            language = project.language().in_words(),
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
