//! `{ file = "…" }` and `{ directory = "…" }` in a stage's settings: the only way for files into a plugin
//! (`wit/lifecycle.wit`, `configure`).

use super::{
    diagnostic::Diagnostics,
    settings::{Insertion, Settings},
    source::Source,
};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// All files of one stage together may not be larger, in bytes: they are kept in the memory of the plugin.
pub(crate) const MOST_FILE_BYTES: u64 = 32 << 20;

/// The settings with the contents of the files that they name. Relative paths are relative to the configuration file.
/// Files that can not be read are mistakes; empty ones stand in for them.
pub(crate) fn expand(settings: &Settings, source: &Source, mistakes: &mut Diagnostics) -> Expanded {
    let mut json = Value::Object(settings.json.clone());
    let mut unread = Vec::new();
    let mut budget = Budget { left: MOST_FILE_BYTES };
    for (pointer, insertion) in &settings.insertions {
        let (path, inserted, empty) = match &insertion.value {
            Insertion::File(path) => {
                (path, file(path, source, &mut budget), json!({"file": path.as_str(), "content": ""}))
            }
            Insertion::Directory(path) => {
                (path, directory(path, source, &mut budget), json!({"directory": path.as_str(), "files": []}))
            }
        };
        let inserted = inserted.unwrap_or_else(|error| {
            mistakes.add(&insertion.at, format!("{path:?} can not be read: {error}"), None);
            unread.push(pointer.clone());
            empty
        });
        // The pointer was made from this very tree.
        if let Some(place) = json.pointer_mut(pointer) {
            *place = inserted;
        }
    }
    Expanded { json, unread }
}

/// Settings with files in them.
pub(crate) struct Expanded {
    pub(crate) json: Value,
    /// JSON pointers to what could not be read: what the plugin says of it is a consequence of that.
    unread: Vec<String>,
}

impl Expanded {
    /// Whether `pointer` names what could not be read, or something in it.
    pub(crate) fn is_unread(&self, pointer: &str) -> bool {
        let inside = |unread: &String| {
            pointer.strip_prefix(unread.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.unread.iter().any(inside)
    }
}

/// What is left of [`MOST_FILE_BYTES`].
struct Budget {
    left: u64,
}

fn file(path: &str, source: &Source, budget: &mut Budget) -> io::Result<Value> {
    let mut object = Map::from_iter([("file".to_owned(), Value::from(path))]);
    put_content(&mut object, &budget.read(&source.resolve(path))?);
    Ok(Value::Object(object))
}

/// Regular files only, also by way of symbolic links; names that begin with a dot are left out. Sorted by name.
fn directory(path: &str, source: &Source, budget: &mut Budget) -> io::Result<Value> {
    let directory = source.resolve(path);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let name = entry?.file_name();
        let name =
            name.into_string().map_err(|name| wrong(format!("the file name {} is not UTF-8", name.display())))?;
        if !name.starts_with('.') && std::fs::metadata(directory.join(&name))?.is_file() {
            names.push(name);
        }
    }
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let content = budget.read(&directory.join(&name)).map_err(|error| wrong(format!("{name}: {error}")))?;
        let mut object = Map::from_iter([("name".to_owned(), Value::from(name))]);
        put_content(&mut object, &content);
        files.push(Value::Object(object));
    }
    Ok(Value::Object(Map::from_iter([
        ("directory".to_owned(), Value::from(path)),
        ("files".to_owned(), Value::Array(files)),
    ])))
}

fn put_content(object: &mut Map<String, Value>, content: &[u8]) {
    match std::str::from_utf8(content) {
        Ok(text) => object.insert("content".to_owned(), Value::from(text)),
        Err(_) => object.insert("base64".to_owned(), base64::engine::general_purpose::STANDARD.encode(content).into()),
    };
}

impl Budget {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let file = open_regular(path)?;
        let mut content = Vec::new();
        // One byte more tells a file that fits from one that does not, whatever its size says by now.
        file.take(self.left.saturating_add(1)).read_to_end(&mut content)?;
        self.left = self
            .left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| wrong(format!("a stage's files together must not pass {} MiB", MOST_FILE_BYTES >> 20)))?;
        Ok(content)
    }
}

fn open_regular(path: &Path) -> io::Result<File> {
    // A named pipe without a writer would block at opening.
    let file = OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(wrong("is not a regular file".to_owned())) }
}

fn wrong(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;

    /// The settings of a stage whose `[stage.config]` is `text`, in a directory with some files.
    fn expanded(text: &str) -> (Value, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("certs/sub")).unwrap();
        fs::write(path("list.txt"), "ä\n").unwrap();
        fs::write(path("certs/b.der"), [0xff, 0x00]).unwrap();
        fs::write(path("certs/a.pem"), "PEM").unwrap();
        fs::write(path("certs/.hidden"), "no").unwrap();
        fs::write(path("big"), vec![b'x'; (MOST_FILE_BYTES + 1) as usize]).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text =
            format!("[milter]\nlisten = 'unix:/x'\n[[stage]]\nname = 'a'\nplugin = 'a'\n[stage.config]\n{text}\n");
        let source = Source::new(path("wasmilter.toml"), text);
        let (config, mut mistakes) = Config::parse(&source);
        assert!(mistakes.is_empty(), "{mistakes}");
        let json = expand(&config.stages[0].config, &source, &mut mistakes).json;
        (json, mistakes.list().iter().map(|m| format!("{}:{} {}: {}", m.line, m.column, m.key, m.message)).collect())
    }

    #[test]
    fn a_file_comes_with_its_content() {
        let (json, mistakes) = expanded("hashes = { file = 'list.txt' }\nkeep = 'me'");
        assert_eq!(json, serde_json::json!({"hashes": {"file": "list.txt", "content": "ä\n"}, "keep": "me"}));
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn a_directory_comes_sorted_without_hidden_files_and_binary_as_base64() {
        let (json, mistakes) = expanded("nested = { list = [{ directory = 'certs' }] }");
        let files = serde_json::json!([{"name": "a.pem", "content": "PEM"}, {"name": "b.der", "base64": "/wA="}]);
        assert_eq!(json, serde_json::json!({"nested": {"list": [{"directory": "certs", "files": files}]}}));
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn what_can_not_be_read_is_a_mistake_at_its_place() {
        for (text, expected) in [
            ("a = { file = 'none' }", "7:14 stage[0].config.a.file: \"none\" can not be read: No such file"),
            ("a = { file = 'certs' }", "7:14 stage[0].config.a.file: \"certs\" can not be read: is not a regular file"),
            ("a = { file = 'pipe' }", "7:14 stage[0].config.a.file: \"pipe\" can not be read: is not a regular file"),
            ("a = { file = 'big' }", "7:14 stage[0].config.a.file: \"big\" can not be read: a stage's files together"),
            (
                "a = { directory = 'list.txt' }",
                "7:19 stage[0].config.a.directory: \"list.txt\" can not be read: Not a directory",
            ),
        ] {
            let (_, mistakes) = expanded(text);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(expected), "{mistakes:?}");
        }
    }

    #[test]
    fn only_the_exact_form_is_a_file() {
        let (json, _) = expanded("a = { file = 'list.txt', other = 1 }\nfile = 'x'");
        assert_eq!(json, serde_json::json!({"a": {"file": "list.txt", "other": 1}, "file": "x"}));
    }
}
