//! Mail to try things on: our own (`tests/corpus`), and the big shared collection where somebody unpacked it.

use crate::letter::crlf;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A message of a corpus.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// Path below the corpus, for messages of failing tests.
    pub name: String,
    /// The message, lines ended by CRLF.
    pub message: Vec<u8>,
}

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every message that is part of the repository.
#[must_use]
pub fn own() -> Vec<Specimen> {
    let top = repository().join("tests/corpus");
    let mut files = Vec::new();
    find(&top, &mut files);
    files.sort();
    load(&top, &files)
}

/// Every `step`th message of the shared corpus, about evenly over its sets; none when it is not there. `CORPUS_STEP` in
/// the environment says otherwise: 1 takes all of it everywhere.
#[must_use]
pub fn shared(step: usize) -> Vec<Specimen> {
    let told = std::env::var("CORPUS_STEP").ok().map(|step| step.parse().expect("CORPUS_STEP is a number"));
    let step = told.unwrap_or(step);
    let Some(top) = shared_top() else {
        eprintln!("no shared corpus in target/corpus: that part of the test is left out");
        return Vec::new();
    };
    let index = fs::read(top.join("INDEX.tsv")).unwrap();
    let index = String::from_utf8_lossy(&index).into_owned();
    let mut rows = index.lines();
    let columns: Vec<&str> = rows.next().unwrap_or_default().split('\t').collect();
    let kind = columns.iter().position(|&column| column == "kind").expect("a column `kind`");
    let messages: Vec<PathBuf> = rows
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .filter(|row| row.get(kind) == Some(&"message"))
        .filter_map(|row| Some(top.join(row.first()?)))
        .collect();
    load(&top, &messages.into_iter().step_by(step).collect::<Vec<_>>())
}

/// Where the shared corpus is unpacked.
fn shared_top() -> Option<PathBuf> {
    let corpus = repository().join("target/corpus");
    let below = fs::read_dir(&corpus).ok()?.flatten().map(|entry| entry.path());
    [corpus.clone()].into_iter().chain(below).find(|directory| directory.join("INDEX.tsv").exists())
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            files.push(path);
        }
    }
}

fn load(top: &Path, files: &[PathBuf]) -> Vec<Specimen> {
    let load = |file: &PathBuf| Specimen {
        name: file.strip_prefix(top).unwrap_or(file).display().to_string(),
        message: crlf(fs::read(file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display()))),
    };
    files.iter().map(load).collect()
}
