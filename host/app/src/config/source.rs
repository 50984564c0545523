//! A configuration file's text, and places in it.

use super::diagnostic::Diagnostics;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Text of a configuration file and where it came from.
#[derive(Debug, Clone)]
pub struct Source {
    path: Arc<Path>,
    text: Arc<str>,
}

/// A place in the text: the bytes, and the full key that stands there, such as `stage[2].config.thresholds.reject`
/// (stages count from 0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spot {
    /// Full key.
    pub key: String,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub at: Spot,
}

impl Source {
    /// Text that came from `path`; relative paths in it are relative to that file's directory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: Arc::from(path.into()), text: Arc::from(text.into()) }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One mistake, of the file as a whole, when it can not be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) => {
                let mut mistakes = Diagnostics::none(Self::new(path, ""));
                mistakes.add(&Spot::default(), format!("can not be read: {error}"), None);
                Err(mistakes)
            }
        }
    }

    /// The file's name as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What `path`, written in this file, means: relative to the file, not to the working directory.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Line and column of a byte, both from 1, the column in characters. Past the end: the end.
    #[must_use]
    pub fn line_column(&self, byte: usize) -> (usize, usize) {
        let before = self.text.as_bytes().get(..byte.min(self.text.len())).unwrap_or_default();
        let line = before.split(|b| *b == b'\n').count().max(1);
        let last = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        // Characters are counted by the bytes that begin one, so that a byte inside a character does no harm.
        let column = last.iter().filter(|b| (**b & 0xC0) != 0x80).count().saturating_add(1);
        (line, column)
    }

    /// Where byte `offset` of the string that was written at `span` stands in the text. A string with escapes or line
    /// breaks can not be mapped that simply; then it is where the string begins.
    #[must_use]
    pub fn inside_string(&self, span: &Range<usize>, value: &str, offset: usize) -> usize {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        match raw.find(value) {
            Some(start) if !value.is_empty() => {
                span.start.saturating_add(start).saturating_add(offset.min(value.len()))
            }
            _ => span.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let source = Source::new("x.toml", "a = 1\nb = \"ä\" # ß\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(5), (1, 6));
        assert_eq!(source.line_column(6), (2, 1));
        assert_eq!(source.line_column(14), (2, 8));
        assert_eq!(source.line_column(10_000), (3, 1));
    }

    #[test]
    fn a_place_inside_a_string_is_found_unless_it_has_escapes() {
        let text = r#"when = "size < 5""#;
        let source = Source::new("x.toml", text);
        assert_eq!(source.inside_string(&(7..17), "size < 5", 5), 13);
        assert_eq!(source.inside_string(&(7..17), "other", 5), 7);
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(Source::new("/etc/w/w.toml", "").resolve("a/b"), Path::new("/etc/w/a/b"));
        assert_eq!(Source::new("/etc/w/w.toml", "").resolve("/a"), Path::new("/a"));
        assert_eq!(Source::new("w.toml", "").resolve("a"), Path::new("a"));
    }
}
