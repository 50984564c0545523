//! From the JSON text of `configure` to the author's type.

use crate::{Plugin, Problems, problems::escape};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// How many mistakes of form are looked for; enough for people, and a bound.
const MOST_PROBLEMS: usize = 50;

/// Makes a plugin of its configuration, with all problems at once: those of form (serde) and those of meaning
/// ([`Plugin::configure`]).
pub(crate) fn configure<P: Plugin>(config: &str) -> Result<P, Problems> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileContent, Info};
    use schemars::JsonSchema;
    use serde::Deserialize;

    struct Marker(Config);

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        limit: u32,
        #[serde(default)]
        names: Vec<String>,
        nested: Nested,
        list: Option<FileContent>,
    }

    #[derive(Deserialize, Default, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Nested {
        on: bool,
    }

    impl Plugin for Marker {
        type Config = Config;

        fn info() -> Info {
            crate::info!()
        }

        fn configure(config: Config) -> Result<Self, Problems> {
            let mut problems = Problems::new();
            if config.limit > 10 {
                problems.add("/limit", format!("must be at most 10, is {}", config.limit));
            }
            problems.or_else_ok(|| Self(config))
        }
    }

    fn paths(config: &str) -> Vec<String> {
        match configure::<Marker>(config) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_list().into_iter().map(|problem| problem.path).collect(),
        }
    }

    #[test]
    fn a_good_configuration_is_taken_with_its_files() {
        let plugin =
            configure::<Marker>(r#"{"limit": 3, "nested": {"on": true}, "list": {"file": "/x", "base64": "AAE="}}"#)
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
