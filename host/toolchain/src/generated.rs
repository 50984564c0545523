//! The folder `sdk/` of a project: collected in memory, then brought to disk at once, so that files which did not change
//! keep their time stamps (and compilers their caches), and files of an older version go away.

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

/// Files to write, by their path relative to `sdk/`, parts joined by `/`.
#[derive(Debug, Default)]
pub struct Generated {
    files: BTreeMap<String, Vec<u8>>,
}

impl Generated {
    /// Adds a file; one of the same path is replaced.
    pub fn add(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), content.into());
    }

    /// Adds the SDK layer of a language: the files of `plugins/sdk/FOLDER/`, below `into` (`""` for `sdk/` itself).
    pub fn add_sdk(&mut self, folder: &str, into: &str) {
        for (path, bytes) in crate::embedded::below(crate::embedded::SDK, folder) {
            let path = if into.is_empty() { path.to_owned() } else { format!("{into}/{path}") };
            self.add(path, bytes);
        }
    }

    /// The content of a file that was added.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Writes what differs into `folder` and removes from it what was not added.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        for (path, content) in &self.files {
            let file = folder.join(path);
            if fs::read(&file).is_ok_and(|old| old == *content) {
                continue;
            }
            let parent = file.parent().unwrap_or(folder);
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
        }
        self.remove_others(folder, "")
    }

    fn remove_others(&self, folder: &Path, below: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Python's: removed, it would come again with every build, and every build look stale.
            if name == "__pycache__" {
                continue;
            }
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let in_it = format!("{path}/");
            if entry.file_type()?.is_dir() {
                match self.files.keys().any(|file| file.starts_with(&in_it)) {
                    true => self.remove_others(&entry.path(), &path)?,
                    false => fs::remove_dir_all(entry.path())
                        .with_context(|| format!("removing {}", entry.path().display()))?,
                }
            } else if !self.files.contains_key(&path) {
                fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_changed_and_removes_what_is_not_there_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Generated::default();
        first.add("a/same", "1");
        first.add("a/changed", "1");
        first.add("gone/below/file", "1");
        first.write(folder.path()).unwrap();
        let time = |name: &str| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
        let before = time("a/same");
        std::thread::sleep(std::time::Duration::from_millis(20));

        let mut second = Generated::default();
        second.add("a/same", "1");
        second.add("a/changed", "2");
        second.write(folder.path()).unwrap();
        assert_eq!(time("a/same"), before, "an unchanged file is not written");
        assert_eq!(fs::read(folder.path().join("a/changed")).unwrap(), b"2");
        assert!(!folder.path().join("gone").exists());
    }
}
