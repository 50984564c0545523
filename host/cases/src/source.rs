//! The text of a case's file, places in it, and mistakes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// A mistake in a case: not the plugin's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseError {
    /// The file or folder.
    pub file: PathBuf,
    /// Line and column, both from 1, the column in characters. None: the file as a whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong; lower case, no full stop.
    pub message: String,
}

impl std::error::Error for CaseError {}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

impl CaseError {
    /// A mistake of the file as a whole.
    pub(crate) fn of(file: &Path, message: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), place: None, message: message.to_string() }
    }
}

/// A TOML file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file.
    pub(crate) fn read(path: PathBuf) -> Result<Self, CaseError> {
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(CaseError::of(&path, format!("can not be read: {error}"))),
        }
    }

    /// The same, and nothing when there is no such file.
    pub(crate) fn read_or_empty(path: PathBuf) -> Result<Self, CaseError> {
        if path.exists() { Self::read(path) } else { Ok(Self { path, text: String::new() }) }
    }

    /// The first mistake of the file, as TOML or as what it should say.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, CaseError> {
        toml::from_str(&self.text).map_err(|error| {
            // Of serde's messages some have a second line with what was meant.
            let message = error.message().trim().replace('\n', "; ");
            match error.span() {
                Some(span) => self.wrong(&span, message),
                None => CaseError::of(&self.path, message),
            }
        })
    }

    /// A mistake at that place.
    pub(crate) fn wrong(&self, span: &Range<usize>, message: impl fmt::Display) -> CaseError {
        let before = self.text.as_bytes().get(..span.start.min(self.text.len())).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        // Characters are counted by the bytes that begin one.
        let column = last.iter().filter(|byte| (**byte & 0xC0) != 0x80).count().saturating_add(1);
        CaseError { file: self.path.clone(), place: Some((line, column)), message: message.to_string() }
    }

    /// Reads a file that is named here, relative to this one.
    pub(crate) fn file(&self, name: &toml::Spanned<String>) -> Result<Vec<u8>, CaseError> {
        let path = self.folder().join(name.get_ref());
        fs::read(path)
            .map_err(|error| self.wrong(&name.span(), format!("{:?} can not be read: {error}", name.get_ref())))
    }

    /// Where this file is.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// A value for which a plain text or number is short.
#[derive(Debug, Clone)]
pub(crate) enum Short<S, L> {
    /// The short way.
    Short(S),
    /// The long way: a list or a table.
    Long(L),
}

macro_rules! short {
    ($short:ty, $what:literal, $($visit:ident: $from:ty => $to:expr),+) => {
        impl<'de, L: Deserialize<'de>> Deserialize<'de> for Short<$short, L> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor<L>(std::marker::PhantomData<L>);
                impl<'de, L: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<L> {
                    type Value = Short<$short, L>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    $(fn $visit<E: serde::de::Error>(self, value: $from) -> Result<Self::Value, E> {
                        let to: fn($from) -> Result<$short, String> = $to;
                        to(value).map(Short::Short).map_err(E::custom)
                    })+
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                        L::deserialize(serde::de::value::SeqAccessDeserializer::new(list)).map(Short::Long)
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                        L::deserialize(serde::de::value::MapAccessDeserializer::new(table)).map(Short::Long)
                    }
                }
                deserializer.deserialize_any(Visitor(std::marker::PhantomData))
            }
        }
    };
}

short!(String, "a string, or a list or table", visit_str: &str => |text| Ok(text.to_owned()));
short!(u32, "a number, or a table", visit_i64: i64 => |number| {
    u32::try_from(number).map_err(|_| format!("must be 0 to {}, is {number}", u32::MAX))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_in_characters() {
        let source = Source { path: "x.toml".into(), text: "a = 1\nb = \"ä\" # ß\n".into() };
        for (byte, place) in [(0, (1, 1)), (5, (1, 6)), (6, (2, 1)), (14, (2, 8)), (10_000, (3, 1))] {
            assert_eq!(source.wrong(&(byte..byte), "").place, Some(place), "{byte}");
        }
        assert_eq!(source.wrong(&(6..7), "is wrong").to_string(), "x.toml:2:1: is wrong");
        assert_eq!(CaseError::of(Path::new("x.toml"), "is missing").to_string(), "x.toml: is missing");
    }
}
