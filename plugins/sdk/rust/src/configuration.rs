//! From the JSON text of `configure` to the author's type.

use crate::{Policy, Problems};
use data_encoding::BASE64;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;

/// How many mistakes of form are looked for; enough for people, and a bound.
const MOST_PROBLEMS: usize = 50;

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

/// Makes a plugin of its configuration, with all problems at once: those of form (serde) and those of meaning
/// ([`Policy::configure`]).
pub(crate) fn configure<P: Policy>(config: &str) -> Result<P, Problems> {
    let config: Value =
        serde_json::from_str(config).map_err(|error| Problems::one("", format!("is not JSON: {error}")))?;
    let (config, mut problems) = deserialize::<P::Config>(config);
    match config.map(P::configure) {
        Some(Ok(policy)) => problems.or_else_ok(|| policy),
        Some(Err(others)) => {
            problems.extend(others);
            Err(problems)
        }
        None => Err(problems),
    }
}

/// serde stops at the first mistake. To find the next one, the value that was refused is taken out and the rest is tried
/// again; what then comes out (if anything) serves only to look for problems of meaning.
fn deserialize<T: DeserializeOwned>(mut config: Value) -> (Option<T>, Problems) {
    let mut problems = Problems::new();
    let mut removed: Vec<(String, usize)> = Vec::new();
    for _ in 0..MOST_PROBLEMS {
        let error = match serde_path_to_error::deserialize::<_, T>(&config) {
            Ok(config) => return (Some(config), problems),
            Err(error) => error,
        };
        let segments: Vec<String> = error.path().iter().filter_map(name_of).collect();
        let path = original_path(&segments, &mut removed);
        // A field that is missing only because it was wrong and taken out is not told twice.
        let follows =
            missing_field(error.inner()).is_some_and(|field| problems.mentions(&format!("{path}/{}", escape(&field))));
        if !follows && !problems.mentions(&path) {
            problems.add(path, message_of(error.inner()));
        }
        if !remove(&mut config, &segments) {
            break;
        }
    }
    (None, problems)
}

fn name_of(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// RFC 6901 §3.
fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// The pointer into the configuration as it was, before elements of lists were taken out of it. `removed` has the list and
/// the index of each, as they were, and gets the one at `segments` when that is an element.
fn original_path(segments: &[String], removed: &mut Vec<(String, usize)>) -> String {
    let mut path = String::new();
    let mut element = None;
    for segment in segments {
        element = None;
        let mut name = segment.clone();
        if let Ok(mut index) = segment.parse::<usize>() {
            let mut gone: Vec<usize> =
                removed.iter().filter(|(list, _)| *list == path).map(|&(_, index)| index).collect();
            gone.sort_unstable();
            for before in gone {
                index = index.saturating_add(usize::from(before <= index));
            }
            name = index.to_string();
            element = Some((path.clone(), index));
        }
        path.push('/');
        path.push_str(&escape(&name));
    }
    removed.extend(element);
    path
}

/// serde_json's text without the line and column, which mean nothing in a configuration that was TOML.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// The name in ``missing field `name` ``, which is how serde words it.
fn missing_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    Some(text.strip_prefix("missing field `")?.split('`').next()?.to_owned())
}

/// Takes the value at `segments` out; false when there is none, or it is the whole.
fn remove(config: &mut Value, segments: &[String]) -> bool {
    let Some((last, parents)) = segments.split_last() else { return false };
    let mut parent = config;
    for segment in parents {
        let next = match parent {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(list) => segment.parse().ok().and_then(|index: usize| list.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => parent = next,
            None => return false,
        }
    }
    match parent {
        Value::Object(map) => map.remove(last).is_some(),
        // The others keep their index, so that their problems are told at the right place.
        Value::Array(list) => match last.parse() {
            Ok(index) if index < list.len() => {
                list.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Failure, Info, Message};

    struct Plugin(Config);

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        limit: u32,
        #[serde(default)]
        names: Vec<String>,
        nested: Nested,
        list: Option<FileContent>,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Nested {
        on: bool,
    }

    impl Policy for Plugin {
        type Config = Config;

        fn info() -> Info {
            Info {
                name: "test",
                version: "1.0.0",
                summary: "",
                licence: "",
                home_page: "",
                grants: &[],
                config_schema: "{}",
            }
        }

        fn configure(config: Config) -> Result<Self, Problems> {
            let mut problems = Problems::new();
            if config.limit > 10 {
                problems.add("/limit", format!("must be at most 10, is {}", config.limit));
            }
            problems.or_else_ok(|| Self(config))
        }

        fn decide(&self, _: &Message) -> Result<Decision, Failure> {
            Ok(Decision::next())
        }
    }

    fn paths(config: &str) -> Vec<String> {
        match configure::<Plugin>(config) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_list().into_iter().map(|problem| problem.path).collect(),
        }
    }

    #[test]
    fn a_good_configuration_is_taken_with_its_files() {
        let plugin =
            configure::<Plugin>(r#"{"limit": 3, "nested": {"on": true}, "list": {"file": "/x", "base64": "AAE="}}"#)
                .unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(plugin.0.nested.on && plugin.0.names.is_empty());
        assert_eq!(plugin.0.list.unwrap().bytes, [0, 1]);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_places() {
        let config = r#"{"limit": 11, "names": [4, "a", 5], "nested": {"on": 1, "of/f": 2}, "extra": 1,
            "list": {"file": "/x"}}"#;
        let mut found = paths(config);
        found.sort();
        assert_eq!(found, ["/extra", "/limit", "/list", "/names/0", "/names/2", "/nested/of~1f", "/nested/on"]);
    }

    #[test]
    fn a_wrong_required_value_is_not_called_missing_too() {
        assert_eq!(paths(r#"{"limit": "x", "nested": {}}"#), ["/limit"]);
        assert_eq!(paths(r#"{"nested": {}}"#), [""]);
        assert_eq!(paths("[1]"), [""]);
        assert_eq!(paths("{"), [""]);
    }
}
