//! Where plugins are found.

use crate::config::{Config, source::Located};
use std::path::{Path, PathBuf};

/// A plugin that was not found, and where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotFound {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// The file of a plugin. What has a `/` or ends in `.wasm` is a path, relative to the configuration file; anything else
/// is the name of a bundled plugin.
pub(crate) fn find(plugin: &Located<String>, config: &Config) -> Result<PathBuf, NotFound> {
    let name = plugin.value.as_str();
    if name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "wasm") {
        let path = config.source.resolve(name);
        return match path.is_file() {
            true => Ok(path),
            false => Err(NotFound {
                message: format!("there is no file {}", path.display()),
                help: "a path is relative to the configuration file".to_owned(),
            }),
        };
    }
    let directories = directories(config);
    let candidates = directories.iter().map(|directory| directory.join(format!("{name}.wasm")));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| not_found(name, &directories))
}

/// Where bundled plugins may be, the first that has one wins.
fn directories(config: &Config) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    directories.extend(config.plugins.directory.clone());
    directories.extend(std::env::var_os("WASMILTER_PLUGINS").filter(|v| !v.is_empty()).map(PathBuf::from));
    if let Some(beside) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        directories.push(beside.join("plugins"));
        if let Some(above) = beside.parent() {
            // target/debug/wasmilter finds target/plugins.
            directories.push(above.join("plugins"));
            directories.push(above.join("lib/wasmilter/plugins"));
        }
    }
    directories.push(PathBuf::from("/usr/lib/wasmilter/plugins"));
    directories
}

fn not_found(name: &str, directories: &[PathBuf]) -> NotFound {
    let mut bundled: Vec<String> = directories.iter().flat_map(|directory| names_in(directory)).collect();
    bundled.sort();
    bundled.dedup();
    let known: Vec<&str> = bundled.iter().map(String::as_str).collect();
    let looked: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    let mut help = format!("looked for {name}.wasm in {}", looked.join(", "));
    if let Some(near) = crate::config::nearest(name, &known) {
        help = format!("did you mean {near:?}? {help}");
    } else if !known.is_empty() {
        help = format!("there are {}; {help}", known.join(", "));
    }
    NotFound { message: format!("there is no bundled plugin {name:?}"), help }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned);
    entries.filter_map(name).collect()
}
