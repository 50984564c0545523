//! Thousands of real messages, when they are there: every one is parsed, written back and edited.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::let_underscore_must_use,
    reason = "a test fails by panicking, its helpers too"
)]

mod invariants;

use invariants::{Seeded, check_reading, check_tree, message, random_edits, written};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use wasmilter_message::{eml, message::ParsedMessage};

/// More than enough for one message on a busy machine in a build that is hardly optimised.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn every_message_of_the_shared_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus");
    let mut files = Vec::new();
    find_files(&corpus, &mut files);
    if files.is_empty() {
        eprintln!("SKIPPED: no shared corpus at {}", corpus.display());
        return;
    }
    files.sort();
    let mut seeded = Seeded(3);
    let (mut applied, mut bytes, mut parsing) = (0, 0, Duration::ZERO);
    for file in &files {
        let content = fs::read(file).unwrap();
        let started = Instant::now();
        let parsed = message(&content);
        assert!(!parsed.tree().parts().is_empty());
        parsing += started.elapsed();
        bytes += content.len();
        comes_back(file, &content, &parsed);
        check_tree(&parsed);
        check_reading(&parsed);
        for _ in 0..3 {
            applied += usize::from(random_edits(&parsed, &seeded.bytes(48)));
        }
        assert!(started.elapsed() < PATIENCE, "{} took {:?}", file.display(), started.elapsed());
    }
    eprintln!("{} messages, {bytes} bytes, parsed in {parsing:?}; {applied} decisions applied", files.len());
    assert!(applied > files.len());
}

/// Whether writing the message gives the file with CRLF line ends, give or take what an MTA would do too.
fn comes_back(file: &Path, content: &[u8], parsed: &ParsedMessage) {
    let mut expected = content;
    if expected.starts_with(b"From ") || expected.starts_with(b">From ") {
        let end = expected.iter().position(|byte| *byte == b'\n').map_or(expected.len(), |at| at + 1);
        expected = &expected[end..];
    }
    let expected = eml::with_crlf(expected);
    let out = written(parsed);
    let fields: usize = parsed.headers.fields().map(|field| usize::try_from(field.size()).unwrap()).sum();
    let without_empty_line = [&out[..fields], &out[fields + 2..]].concat();
    // No empty line, when the header ends with a line that is no field; no blanks before a colon.
    let same = out == expected[..]
        || without_empty_line == expected[..]
        || (out.len() < expected.len() + 2
            && [&out, &without_empty_line].into_iter().any(|out| without_blanks(out) == without_blanks(&expected)))
        || out == [&expected[..], b"\r\n"].concat()
        || out == [&expected[..], b"\r\n\r\n"].concat();
    assert!(same, "{} does not come back", file.display());
}

fn without_blanks(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t')).collect()
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_files(&path, files);
        } else {
            files.push(path);
        }
    }
}
