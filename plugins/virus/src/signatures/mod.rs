//! What is bad: the EICAR test file, hashes, and patterns in the content.

mod body;
mod eicar;
mod hash;

use crate::config::KnownHash;
use body::BodySignatures;
use hash::HashSignatures;
use std::path::Path;
use wasmilter_sdk::{FileContent, Problems};

/// Most problems that are told of one file.
const MOST_PROBLEMS: usize = 20;

/// All signatures, ready to search with.
pub(crate) struct Signatures {
    hashes: HashSignatures,
    bodies: BodySignatures,
    skipped: u32,
}

/// What became of a line of a signature file.
pub(crate) enum Line {
    /// It is used.
    Taken,
    /// It is a signature, of a kind that this engine does not support.
    Unsupported,
}

impl Signatures {
    /// Reads all signatures. A file's format is told by the end of its name.
    pub(crate) fn load(hashes: &[KnownHash], files: Vec<(String, &FileContent)>, problems: &mut Problems) -> Self {
        let mut known = HashSignatures::default();
        for (index, hash) in hashes.iter().enumerate() {
            problems.take(&format!("/hashes/{index}/sha256"), known.add_sha256(&hash.sha256, &hash.name));
            if hash.name.is_empty() {
                problems.add(format!("/hashes/{index}/name"), "must not be empty");
            }
        }
        let mut bodies = body::Builder::default();
        let mut skipped: u32 = 0;
        for (path, file) in files {
            let format = Path::new(&file.path).extension().and_then(|extension| extension.to_str());
            let format = match format.map(str::to_ascii_lowercase).as_deref() {
                Some("hdb" | "hsb") => Format::Hashes,
                Some("ndb") => Format::Bodies,
                _ => {
                    problems.add(path, format!("must be a file named *.hdb, *.hsb or *.ndb, is {:?}", file.path));
                    continue;
                }
            };
            let mut wrong: usize = 0;
            for (index, line) in file.bytes.split(|&byte| byte == b'\n').enumerate() {
                let line = String::from_utf8_lossy(line);
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let outcome = match format {
                    Format::Hashes => known.add_line(line),
                    Format::Bodies => bodies.add_line(line),
                };
                match outcome {
                    Ok(Line::Taken) => {}
                    Ok(Line::Unsupported) => skipped = skipped.saturating_add(1),
                    Err(what) => {
                        wrong = wrong.saturating_add(1);
                        if wrong <= MOST_PROBLEMS {
                            problems.add(&path, format!("line {} of {}: {what}", index.saturating_add(1), file.path));
                        }
                    }
                }
            }
            if wrong > MOST_PROBLEMS {
                problems.add(
                    &path,
                    format!("{} more lines of {} are wrong", wrong.saturating_sub(MOST_PROBLEMS), file.path),
                );
            }
        }
        let bodies = problems.take("/signatures", bodies.build()).unwrap_or_default();
        Self { hashes: known, bodies, skipped }
    }

    /// Whether any of them is about content of this size, in bytes.
    pub(crate) fn can_match(&self, size: usize) -> bool {
        size <= eicar::LONGEST || !self.bodies.is_empty() || self.hashes.can_match(size)
    }

    /// Name of the first virus found.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&str> {
        if eicar::is_test_file(bytes) {
            return Some(eicar::NAME);
        }
        self.hashes.find(bytes).or_else(|| self.bodies.find(bytes))
    }

    /// Lines that are not used because this engine does not support them.
    pub(crate) fn skipped(&self) -> u32 {
        self.skipped
    }
}

enum Format {
    Hashes,
    Bodies,
}
