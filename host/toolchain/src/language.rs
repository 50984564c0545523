//! The languages, one file each, behind one trait.

mod c;
mod go;
mod javascript;
mod python;
pub mod rust;
mod zig;

use crate::{
    component::Artefact,
    contract::Contract,
    generated::Generated,
    process::{self, Limit},
    project::Project,
    tool::{Found, Tool},
};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

/// A language that plugins are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LanguageName {
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Python.
    #[serde(alias = "py")]
    Python,
    /// JavaScript.
    #[serde(alias = "javascript")]
    Js,
    /// TypeScript.
    #[serde(alias = "typescript")]
    Ts,
    /// C.
    C,
    /// Zig.
    Zig,
}

impl LanguageName {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Rust, Self::Go, Self::Python, Self::Js, Self::Ts, Self::C, Self::Zig];

    /// As on the command line and in `plugin.toml`; also the name of the folder with its template.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
            Self::Zig => "zig",
        }
    }

    /// As people write it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
            Self::C => "C",
            Self::Zig => "Zig",
        }
    }

    /// What builds it.
    pub fn language(self) -> &'static dyn Language {
        match self {
            Self::Rust => &rust::Rust,
            Self::Go => &go::Go,
            Self::Python => &python::Python,
            Self::Js => &javascript::JavaScript,
            Self::Ts => &javascript::TypeScript,
            Self::C => &c::C,
            Self::Zig => &zig::Zig,
        }
    }
}

impl fmt::Display for LanguageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LanguageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "rust" | "rs" => Ok(Self::Rust),
            "go" | "golang" => Ok(Self::Go),
            "python" | "py" => Ok(Self::Python),
            "js" | "javascript" => Ok(Self::Js),
            "ts" | "typescript" => Ok(Self::Ts),
            "c" => Ok(Self::C),
            "zig" => Ok(Self::Zig),
            _ => Err(format!("must be one of {}", Self::ALL.map(Self::as_str).join(", "))),
        }
    }
}

/// A language's tool chain.
pub trait Language: Sync {
    /// The programs that [`Language::build`] starts. They are found before it is called; when one is missing, it is not called.
    fn tools(&self) -> &'static [Tool];

    /// Adds the language's part of `sdk/`: its SDK layer ([`Generated::add_sdk`]) and bindings made from `contract`. The WIT
    /// (`sdk/wit/` the contract alone, `sdk/world/` the project's world with the contract below `deps/`) is there already. Must work without any tool; called by `new` and before every build.
    ///
    /// # Errors
    /// When the project's world can not be turned into bindings.
    fn prepare(&self, project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()>;

    /// Builds the project. Everything of [`Language::prepare`] is on disk.
    ///
    /// # Errors
    /// What the tools say, by [`Build::run`].
    fn build(&self, build: &Build<'_>) -> Result<Artefact>;
}

/// One build of a project, as a language's tool chain sees it.
pub struct Build<'a> {
    pub(crate) project: &'a Project,
    pub(crate) contract: &'a Contract,
    pub(crate) tools: &'a [Found],
    pub(crate) progress: &'a dyn Progress,
}

/// Whoever watches a build.
pub trait Progress {
    /// What is done now, such as `compiling`.
    fn step(&self, what: &str);
    /// A line that a tool printed.
    fn line(&self, _text: &str) {}
}

/// Nobody watches.
impl Progress for () {
    fn step(&self, _what: &str) {}
}

impl Build<'_> {
    /// The project.
    pub fn project(&self) -> &Project {
        self.project
    }

    /// The contract and the project's world.
    pub fn contract(&self) -> &Contract {
        self.contract
    }

    /// Says what is done now, such as `compiling`.
    pub fn step(&self, what: &str) {
        self.progress.step(what);
    }

    /// A command line with one of the tools of [`Language::tools`], by its name, to be run in the project's folder.
    ///
    /// # Errors
    /// When the language does not name that tool.
    pub fn tool(&self, name: &str) -> Result<Command> {
        let tool = self.tools.iter().find(|tool| tool.name() == name);
        let mut command = tool.with_context(|| format!("{name} is not among the language's tools"))?.command();
        command.current_dir(self.project.folder());
        Ok(command)
    }

    /// Runs a tool, with a bound.
    ///
    /// # Errors
    /// [`crate::Failed`] with the last lines that it printed.
    pub fn run(&self, command: Command) -> Result<()> {
        Ok(process::run(command, Limit::default(), &|line| {
            self.progress.line(line);
            true
        })?)
    }

    /// The folder for what is made on the way (`build/work/`): kept between builds, not in version control.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn work(&self) -> Result<PathBuf> {
        let folder = self.project.folder().join("build/work");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// Reads what a tool made.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read(&self, file: &Path) -> Result<Vec<u8>> {
        fs::read(file).with_context(|| format!("reading {}, which the tool chain should have made", file.display()))
    }
}

/// Projects that the languages' tests build.
#[cfg(test)]
pub(crate) mod sample {
    use super::LanguageName;
    use crate::Project;
    use std::{fs, path::Path};

    /// What a component imports that uses everything of the contract.
    pub(crate) const ALL_IMPORTS: [&str; 13] = [
        "client", "clock", "dns", "envelope", "facts", "headers", "log", "output", "parts", "random", "raw",
        "services", "store",
    ];

    /// A new project, with another source file (its name and content) and world where they are given.
    pub(crate) fn project(
        language: LanguageName,
        folder: &Path,
        source: Option<(&str, &str)>,
        world: Option<&str>,
    ) -> Project {
        let project = Project::create("subject-filter", language, folder).unwrap();
        if let Some((name, content)) = source {
            fs::write(folder.join(name), content).unwrap();
        }
        if let Some(world) = world {
            let world = format!("package local:plugin;\nworld plugin {{ {world} }}");
            fs::write(folder.join("wit/world.wit"), world).unwrap();
        }
        project
    }
}
