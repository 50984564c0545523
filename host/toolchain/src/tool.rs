//! The programs that a language needs: where they are looked for, which version is wanted, how each is installed.

use crate::process;
use std::{
    env,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A program that builds plugins of a language.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// What people call it: `Go`.
    pub name: &'static str,
    /// Ways to start it, the first that works is taken: `&[&["zig"], &["python3", "-m", "ziglang"]]`.
    pub ways: &'static [&'static [&'static str]],
    /// Arguments that make it print its version and do nothing else: `&["version"]`. It must end well.
    pub version: &'static [&'static str],
    /// The oldest version that works, such as `1.24`; empty: any.
    pub at_least: &'static str,
    /// The first version that does not work any more; empty: none known.
    pub below: &'static str,
    /// How it is installed.
    pub install: Install,
}

/// Commands that install a tool, for a person to copy; several lines where it takes several commands.
#[derive(Debug, Clone, Copy)]
pub struct Install {
    /// Debian and its relatives.
    pub debian: &'static str,
    /// Fedora and its relatives.
    pub fedora: &'static str,
    /// macOS with Homebrew.
    pub macos: &'static str,
    /// Where it is the same everywhere, and needs another package manager: `pip install componentize-py==0.25.1`, to be run in the
    /// project. Shown after the others. Empty: none.
    pub anywhere: &'static str,
}

/// A tool that was found.
#[derive(Debug, Clone)]
pub struct Found {
    tool: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
    version: String,
}

impl Found {
    /// The tool's name.
    pub fn name(&self) -> &'static str {
        self.tool
    }

    /// Its version, such as `1.24.3`; what it printed when there is no number in it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Starts a command line with it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments);
        command
    }
}

/// Tools that a project needs and this machine does not have: how to install them all.
#[derive(Debug, thiserror::Error)]
pub struct MissingTools {
    language: &'static str,
    missing: Vec<(Tool, Option<String>)>,
}

impl fmt::Display for MissingTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tools to build a plugin in {} are missing:", self.language)?;
        for (tool, found) in &self.missing {
            write!(f, "\n\n  {}", tool.name)?;
            match (tool.at_least, tool.below) {
                ("", "") => {}
                (from, "") => write!(f, " {from} or later")?,
                ("", below) => write!(f, " before {below}")?,
                (from, below) => write!(f, " {from} or later, before {below}")?,
            }
            if let Some(found) = found {
                write!(f, " (found: {found})")?;
            }
            let Install { debian, fedora, macos, anywhere } = tool.install;
            for (system, commands) in [("Debian", debian), ("Fedora", fedora), ("macOS", macos), ("anywhere", anywhere)]
            {
                for (at, line) in commands.lines().enumerate() {
                    let system = if at == 0 { system } else { "" };
                    write!(f, "\n    {system:<9} {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// Finds all tools, or says of all that are missing how to install them.
///
/// Looked for in the project (`.venv/bin`, `node_modules/.bin`), then below the folder `WASMILTER_TOOLS` in the same
/// places and in `bin` and `go/bin`, then in PATH.
pub(crate) fn find_all(language: &'static str, tools: &[Tool], project: &Path) -> Result<Vec<Found>, MissingTools> {
    let folders = folders(project);
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for tool in tools {
        match find(tool, &folders) {
            Ok(tool) => found.push(tool),
            Err(other) => missing.push((*tool, other)),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(MissingTools { language, missing }) }
}

/// Where programs are looked for, in order.
fn folders(project: &Path) -> Vec<PathBuf> {
    let mut folders = vec![project.join(".venv/bin"), project.join("node_modules/.bin")];
    if let Some(tools) = env::var_os("WASMILTER_TOOLS").filter(|tools| !tools.is_empty()) {
        let tools = PathBuf::from(tools);
        folders.extend([".venv/bin", "node_modules/.bin", "bin", "go/bin"].map(|folder| tools.join(folder)));
    }
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    // A tool may be asked from another folder than the one we were started in.
    folders.iter().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())).collect()
}

/// The first that starts and has a version that fits; otherwise the version of the last one that does not fit.
fn find(tool: &Tool, folders: &[PathBuf]) -> Result<Found, Option<String>> {
    let mut unfit = None;
    for way in tool.ways {
        let Some((program, arguments)) = way.split_first() else { continue };
        for program in folders.iter().map(|folder| folder.join(program)).filter(|file| file.is_file()) {
            let Some(printed) = printed_version(&program, arguments, tool.version) else { continue };
            let version = number_in(&printed).unwrap_or(&printed);
            if fits(version, tool.at_least, tool.below) {
                return Ok(Found { tool: tool.name, program, arguments, version: version.to_owned() });
            }
            unfit = Some(format!("{version}, {}", program.display()));
        }
    }
    Err(unfit)
}

/// How long a tool may take to say its version: interpreters on a busy machine take seconds.
const VERSION_TIME: Duration = Duration::from_secs(60);

fn printed_version(program: &Path, arguments: &[&str], version: &[impl AsRef<OsStr>]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).args(version);
    let output = process::capture(command, VERSION_TIME).ok()?;
    Some(output.trim().to_owned())
}

/// The first thing that looks like a version: digits with at least one dot between.
fn number_in(text: &str) -> Option<&str> {
    text.split(|other: char| !other.is_ascii_digit() && other != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.'))
}

/// Compares number by number; what is missing is 0.
fn fits(version: &str, at_least: &str, below: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let mut numbers: Vec<u32> = text.split('.').map_while(|number| number.parse().ok()).collect();
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        numbers
    };
    (at_least.is_empty() || numbers(version) >= numbers(at_least))
        && (below.is_empty() || numbers(version) < numbers(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        assert_eq!(number_in("go version go1.26.1 linux/amd64"), Some("1.26.1"));
        assert_eq!(number_in("cargo 1.95.0 (abc 2026-01-01)"), Some("1.95.0"));
        assert_eq!(number_in("v22.1.0"), Some("22.1.0"));
        assert_eq!(number_in("componentize-py 0.25.1"), Some("0.25.1"));
        assert_eq!(number_in("no number"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(fits("1.24.0", "1.24", ""));
        assert!(fits("1.100", "1.24", "2"));
        assert!(!fits("1.9", "1.24", ""));
        assert!(!fits("2.0.1", "1.24", "2"));
        assert!(fits("anything", "", ""));
    }

    #[test]
    fn what_is_missing_says_how_to_install_all_of_it() {
        let install = Install {
            debian: "apt-get install nothing",
            fedora: "dnf install nothing",
            macos: "brew install nothing",
            anywhere: "pip install nothing",
        };
        let tool = |name, ways| Tool { name, ways, version: &["--version"], at_least: "3.1", below: "", install };
        let tools = [tool("Nothing", &[&["no-such-program"]]), tool("Less", &[&["no-such-program-either"]])];
        let missing = find_all("Nonsense", &tools, Path::new("/nowhere")).unwrap_err().to_string();
        for piece in ["Nonsense", "Nothing 3.1 or later", "Less", "apt-get install nothing", "dnf", "brew", "pip"] {
            assert!(missing.contains(piece), "{piece} is not in: {missing}");
        }
    }
}
