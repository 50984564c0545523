//! Files of the configuration.

use data_encoding::BASE64;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// A file that the administrator named with `{ file = "/path" }`, with its content.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawFile")]
pub struct FileContent {
    /// As written in the configuration.
    pub path: String,
    /// What the file holds.
    pub bytes: Vec<u8>,
}

/// A directory that the administrator named with `{ directory = "/path" }`, with its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawDirectory")]
pub struct DirectoryContent {
    /// As written in the configuration.
    pub path: String,
    /// Its files, by name.
    pub files: Vec<NamedContent>,
}

/// A file of a [`DirectoryContent`].
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawNamed")]
pub struct NamedContent {
    /// Name without the directory.
    pub name: String,
    /// What the file holds.
    pub bytes: Vec<u8>,
}

impl FileContent {
    /// The content as UTF-8.
    ///
    /// # Errors
    /// When it is not; says which file, fit for [`Problems::take`](crate::Problems::take).
    pub fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.bytes).map_err(|_| format!("file {:?} is not UTF-8", self.path))
    }
}

/// Written in the configuration, or in a file: `"…"` or `{ file = "/path" }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a text or { file = \"/path\" }")]
#[schemars(inline)]
pub enum TextOrFile {
    /// In the configuration.
    Text(String),
    /// In a file.
    File(FileContent),
}

impl TextOrFile {
    /// The text, wherever it stands.
    ///
    /// # Errors
    /// When the file is not UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::File(file) => file.text(),
        }
    }
}

/// What the host makes of `{ file = "/path" }`.
impl JsonSchema for FileContent {
    fn schema_name() -> Cow<'static, str> {
        "File".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["file"],
            "properties": {
                "file": { "type": "string" },
                "content": { "type": "string" },
                "base64": { "type": "string" },
            },
            "additionalProperties": false,
        })
    }
}

/// What the host makes of `{ directory = "/path" }`.
impl JsonSchema for DirectoryContent {
    fn schema_name() -> Cow<'static, str> {
        "Directory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["directory"],
            "properties": {
                "directory": { "type": "string" },
                "files": { "type": "array" },
            },
            "additionalProperties": false,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    file: String,
    content: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDirectory {
    directory: String,
    files: Vec<NamedContent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNamed {
    name: String,
    content: Option<String>,
    base64: Option<String>,
}

impl TryFrom<RawFile> for FileContent {
    type Error = String;

    fn try_from(raw: RawFile) -> Result<Self, String> {
        let bytes = bytes(&raw.file, raw.content, raw.base64)?;
        Ok(Self { path: raw.file, bytes })
    }
}

impl From<RawDirectory> for DirectoryContent {
    fn from(raw: RawDirectory) -> Self {
        Self { path: raw.directory, files: raw.files }
    }
}

impl TryFrom<RawNamed> for NamedContent {
    type Error = String;

    fn try_from(raw: RawNamed) -> Result<Self, String> {
        let bytes = bytes(&raw.name, raw.content, raw.base64)?;
        Ok(Self { name: raw.name, bytes })
    }
}

fn bytes(name: &str, content: Option<String>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (content, base64) {
        (Some(content), None) => Ok(content.into_bytes()),
        (None, Some(base64)) => {
            BASE64.decode(base64.as_bytes()).map_err(|error| format!("content of {name:?} is not base64: {error}"))
        }
        _ => Err(format!("content of {name:?} is missing: the host did not read it")),
    }
}
