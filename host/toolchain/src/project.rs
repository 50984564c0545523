//! A plugin project: its folder and `plugin.toml`.

use crate::{
    component::Component,
    contract::Contract,
    embedded,
    generated::Generated,
    language::{Build, LanguageName, Progress},
    tool,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A plugin project.
#[derive(Debug, Clone)]
pub struct Project {
    folder: PathBuf,
    manifest: Manifest,
}

/// `plugin.toml`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Lower case, words joined by `-`: the name of the built file.
    name: String,
    language: LanguageName,
    /// JavaScript and TypeScript: what runs it; left out: the default.
    #[serde(default)]
    engine: Engine,
}

/// The JavaScript engine in a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Small, quick to build, load and start; no just-in-time compiler anywhere in a plugin, so that not much is lost.
    #[default]
    QuickJs,
    /// Mozilla's: for what QuickJS does not have.
    StarlingMonkey,
}

/// What was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The component.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// What it imports, exports and needs.
    pub component: Component,
}

/// What is wrong with a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no project in that folder.
    #[error("{folder}: no plugin project: {MANIFEST} is missing; `wasmilter plugin new NAME --lang LANGUAGE` makes one", folder = folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// A file can not be read or written.
    #[error("{what} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// `plugin.toml` has a mistake.
    #[error("{file}:{line}:{column}: {message}", file = file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Not a name for a plugin.
    #[error(
        "the name {name:?} does not work: it must be words of lower-case letters and digits, each beginning with a letter, joined by `-`, at most {LONGEST_NAME} characters"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Something is there already.
    #[error("{folder} is there already and not empty: nothing was written", folder = folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
}

/// The file that makes a folder a project.
const MANIFEST: &str = "plugin.toml";
const LONGEST_NAME: usize = 64;
/// Folders of a project that are not source: made by us, by tools, or read only when the plugin is tested. Neither is what
/// begins with a dot.
const NOT_SOURCE: [&str; 6] = ["build", "sdk", "cases", "target", "node_modules", "__pycache__"];

impl Project {
    /// Writes a new project from the language's template into `folder`, which is made, and prepares it.
    ///
    /// # Errors
    /// [`ProjectError`] when the name does not work or the folder is not empty: then nothing was written.
    pub fn create(name: &str, language: LanguageName, folder: &Path) -> Result<Self> {
        if !is_name(name) {
            return Err(ProjectError::Name { name: name.to_owned() }.into());
        }
        if folder.exists() && !is_empty(folder)? {
            return Err(ProjectError::Exists { folder: folder.to_owned() }.into());
        }
        for (path, content) in template(name, language) {
            let file = folder.join(path);
            let parent = file.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(io_error("making", parent))?;
            fs::write(&file, content).map_err(io_error("writing", &file))?;
        }
        let project = Self::open(folder)?;
        project.prepare()?;
        Ok(project)
    }

    /// Reads the project in `folder`.
    ///
    /// # Errors
    /// [`ProjectError`]
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let file = folder.join(MANIFEST);
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ProjectError::None { folder: folder.to_owned() });
            }
            text => text.map_err(io_error("reading", &file))?,
        };
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
            ProjectError::Manifest { file: file.clone(), line, column, message: error.message().to_owned() }
        })?;
        if !is_name(&manifest.name) {
            return Err(ProjectError::Name { name: manifest.name });
        }
        let folder = std::path::absolute(folder).map_err(io_error("finding", folder))?;
        Ok(Self { folder, manifest })
    }

    /// Its folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The language that it is written in.
    pub fn language(&self) -> LanguageName {
        self.manifest.language
    }

    /// What runs it, when it is written in JavaScript or TypeScript.
    pub fn engine(&self) -> Engine {
        self.manifest.engine
    }

    /// Where its cases are.
    pub fn cases(&self) -> PathBuf {
        self.folder.join("cases")
    }

    /// Where the plugin is once it is built.
    pub fn component(&self) -> PathBuf {
        self.folder.join("build").join(format!("{}.wasm", self.name()))
    }

    /// Writes the generated folder `sdk/`: the contract, the SDK, bindings. Needs no tool.
    ///
    /// # Errors
    /// When the project's world has mistakes, or a file can not be written.
    pub fn prepare(&self) -> Result<Contract> {
        let mut sdk = Generated::default();
        let contract = Contract::read(&self.folder, &mut sdk)?;
        self.language().language().prepare(self, &contract, &mut sdk)?;
        sdk.write(&self.folder.join("sdk"))?;
        Ok(contract)
    }

    /// Builds the plugin into `build/NAME.wasm`.
    ///
    /// # Errors
    /// [`crate::MissingTools`], [`crate::Failed`] (what a tool said), [`crate::NotAPlugin`], or what went wrong with a file. The
    /// plugin built before is left as it was.
    pub fn build(&self, progress: &dyn Progress) -> Result<Built> {
        let language = self.language().language();
        let tools = tool::find_all(self.language().in_words(), language.tools(), &self.folder)?;
        let contract = self.prepare()?;
        progress.step("compiling");
        let build = Build { project: self, contract: &contract, tools: &tools, progress };
        let artefact = language.build(&build)?;
        progress.step("making a component");
        let (bytes, component) = Component::of(artefact, &contract)?;
        self.write(&bytes)?;
        Ok(Built { path: self.component(), size: bytes.len(), component })
    }

    /// Builds the plugin when a source is newer than what was built last, or `sdk/` is of another version.
    ///
    /// # Errors
    /// As [`Project::build`].
    pub fn build_if_stale(&self, progress: &dyn Progress) -> Result<Built> {
        let bytes = self.prepare().and_then(|_| self.current())?;
        match bytes {
            Some(bytes) => Ok(Built { path: self.component(), size: bytes.len(), component: Component::look(&bytes)? }),
            None => self.build(progress),
        }
    }

    /// What was built, when nothing of the project is newer.
    fn current(&self) -> Result<Option<Vec<u8>>> {
        let file = self.component();
        let Ok(built) = fs::metadata(&file).and_then(|metadata| metadata.modified()) else { return Ok(None) };
        let sources = newest(&self.folder, true)?;
        let sdk = newest(&self.folder.join("sdk"), false)?;
        if sources >= built || sdk >= built {
            return Ok(None);
        }
        Ok(Some(fs::read(&file).with_context(|| format!("reading {}", file.display()))?))
    }

    /// Written beside and renamed, so that a host that is loading the plugin never sees half a file.
    fn write(&self, component: &[u8]) -> Result<()> {
        let folder = self.folder.join("build");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut unfinished = tempfile::Builder::new()
            .prefix(".unfinished")
            .tempfile_in(&folder)
            .with_context(|| format!("writing into {}", folder.display()))?;
        unfinished.write_all(component).context("writing the component")?;
        readable_by_all(unfinished.path())?;
        let file = self.component();
        unfinished.persist(&file).with_context(|| format!("writing {}", file.display()))?;
        Ok(())
    }
}

/// Temporary files are private; a built plugin is as readable as any compiled file.
fn readable_by_all(file: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).context("writing the component")?;
    }
    Ok(())
}

/// The latest change of a file or folder below `folder`; in the project's own, of sources only.
fn newest(folder: &Path, own: bool) -> Result<SystemTime> {
    let metadata = |path: &Path| -> io::Result<SystemTime> { fs::metadata(path)?.modified() };
    // The project's own folder changes with every build.
    let mut latest = if own { SystemTime::UNIX_EPOCH } else { metadata(folder)? };
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || NOT_SOURCE.contains(&name.as_str()) {
            continue;
        }
        let time = match entry.file_type()?.is_dir() {
            true => newest(&entry.path(), false)?,
            false => entry.metadata()?.modified()?,
        };
        latest = latest.max(time);
    }
    Ok(latest)
}

/// The files of a new project; see `templates/POLICY.md`.
fn template(name: &str, language: LanguageName) -> BTreeMap<&'static str, Vec<u8>> {
    let mut files: BTreeMap<&str, &[u8]> = embedded::below(embedded::TEMPLATES, "common").collect();
    files.extend(embedded::below(embedded::TEMPLATES, language.as_str()));
    let about = files.remove("ABOUT.md").map(String::from_utf8_lossy).unwrap_or_default();
    let filled = files.into_iter().map(|(path, content)| {
        // Under its own name it would hide files from the repository of the template.
        let path = if path == "gitignore" { ".gitignore" } else { path };
        (path, fill_in(content, name, language, about.trim_end()))
    });
    filled.collect()
}

/// Replaces the placeholders of a template. What is not text stays as it is.
fn fill_in(content: &[u8], name: &str, language: LanguageName, about: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let mut pascal = String::new();
    for word in name.split('-') {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    let text = text.replace("{{about}}", about).replace("{{language}}", language.as_str());
    let text = text.replace("{{Language}}", language.in_words()).replace("{{Name}}", &pascal);
    text.replace("{{name_snake}}", &name.replace('-', "_")).replace("{{name}}", name).into_bytes()
}

/// Words as WIT, cargo, npm and Go all take them.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    name.len() <= LONGEST_NAME && name.split('-').all(is_word)
}

fn is_empty(folder: &Path) -> Result<bool, ProjectError> {
    let mut entries = fs::read_dir(folder).map_err(io_error("reading", folder))?;
    Ok(entries.next().is_none())
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProjectError + use<> {
    let path = path.to_owned();
    move |source| ProjectError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(manifest: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        Project::open(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let error = open("name = \"a\"\nlanguage = \"rust\"\nlicense = \"MIT\"\n").unwrap_err();
        assert!(error.contains("plugin.toml:3:1: unknown field `license`"), "{error}");
        let error = open("name = \"a\"\nlanguage = \"cobol\"\n").unwrap_err();
        assert!(error.contains("plugin.toml:2:12: ") && error.contains("cobol"), "{error}");
        let error = open("language = \"c\"\n").unwrap_err();
        assert!(error.contains("missing field `name`"), "{error}");
        let error = Project::open(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("/nowhere: no plugin project") && error.contains("plugin new"), "{error}");
    }

    #[test]
    fn names_are_words() {
        for good in ["a", "subject-filter", "s3-copy"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-", "a-", "A", "a_b", "3d", "a-3d", "../a", "a b", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
            let error = Project::create(bad, LanguageName::Rust, Path::new("/nowhere/new")).unwrap_err().to_string();
            assert!(error.contains("does not work"), "{error}");
        }
    }

    #[test]
    fn a_new_project_has_its_name_everywhere_and_overwrites_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("subject-filter");
        let project = Project::create("subject-filter", LanguageName::Rust, &folder).unwrap();
        assert_eq!((project.name(), project.language()), ("subject-filter", LanguageName::Rust));
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        assert!(read("src/lib.rs").contains("pub struct SubjectFilter"));
        assert!(read("Cargo.toml").contains("name = \"subject-filter\""));
        assert!(read(".gitignore").contains("/sdk/"));
        assert!(read("README.md").contains("cargo doc"), "it has the part of its language");
        assert!(read("sdk/wit/package.wit").contains("package wasmilter:policy@1."));
        assert!(folder.join("sdk/rust/Cargo.toml").exists());
        assert!(!folder.join("ABOUT.md").exists());

        fs::write(folder.join("README.md"), "mine").unwrap();
        let error = Project::create("subject-filter", LanguageName::Rust, &folder).unwrap_err().to_string();
        assert!(error.contains("nothing was written"), "{error}");
        assert_eq!(read("README.md"), "mine");
    }

    #[test]
    fn no_template_leaves_a_placeholder() {
        for language in LanguageName::ALL {
            for (path, content) in template("subject-filter", language) {
                let text = String::from_utf8_lossy(&content).into_owned();
                for placeholder in ["{{name", "{{Name", "{{language", "{{Language", "{{about"] {
                    assert!(!text.contains(placeholder), "{placeholder} is left in {language}/{path}");
                }
            }
        }
    }
}
