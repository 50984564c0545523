//! Holds a stage's settings against the JSON Schema that its plugin gives, before the plugin sees them.
//!
//! The schema comes from the plugin, which nobody trusts: it is bounded in size, refers to nothing but itself, never in circles, and
//! its patterns are matched in linear time. So checking ends soon whatever it says; nothing is fetched from anywhere.

use jsonschema::{PatternOptions, ValidationError, error::ValidationErrorKind};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::HashMap};

/// Longest schema, in bytes of its text.
const LONGEST: usize = 256 << 10;
/// Most values in a schema when every reference in it is replaced by what it refers to.
const LARGEST: u64 = 50_000;
/// Memory for one compiled pattern, in bytes.
const PATTERN: usize = 1 << 20;
/// More violations than that help nobody.
const MOST_VIOLATIONS: usize = 100;
/// Longest text of a violation, in characters: values are quoted in it, and files are values.
const LONGEST_MESSAGE: usize = 200;

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// JSON pointer into the settings.
    pub(crate) path: String,
    /// What is wrong; lower case, no full stop.
    pub(crate) message: String,
}

/// All places where `settings` do not fit `schema`, a text.
///
/// # Errors
/// Why the schema can not be used.
pub(crate) fn violations(schema: &str, settings: &Value) -> Result<Vec<Violation>, String> {
    if schema.trim().is_empty() {
        return Ok(Vec::new());
    }
    if schema.len() > LONGEST {
        return Err(format!("has {} bytes, at most {LONGEST}", schema.len()));
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("is not JSON: {error}"))?;
    bounded(&schema)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN);
    let validator = jsonschema::draft202012::options()
        .with_pattern_options(patterns)
        .build(&schema)
        .map_err(|error| format!("is not a JSON Schema: {}", cut(&error.to_string())))?;
    let mut all: Vec<Violation> = validator.iter_errors(settings).flat_map(|error| told(&error)).collect();
    all.dedup();
    all.truncate(MOST_VIOLATIONS);
    Ok(all)
}

/// One violation, at the value that has to change.
fn told(error: &ValidationError<'_>) -> Vec<Violation> {
    let path = error.instance_path().as_str();
    match error.kind() {
        // Each key that should not be there is a mistake at its own place.
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| Violation { path: format!("{path}/{}", escape(name)), message: "unknown key".to_owned() })
            .collect(),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Violation { path: format!("{path}/{}", escape(name)), message: "is missing".to_owned() }]
        }
        _ => vec![Violation { path: path.to_owned(), message: cut(&error.to_string()) }],
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn cut(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect();
    if text.chars().nth(LONGEST_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

/// Whether checking by this schema has an end that is near.
fn bounded(schema: &Value) -> Result<(), String> {
    let size = Sizes { root: schema, known: RefCell::default() }.of(schema)?;
    if size > LARGEST {
        return Err(format!("has {size} values once its references are followed, at most {LARGEST}"));
    }
    Ok(())
}

/// Counts the values of a schema with its references replaced by what they refer to.
struct Sizes<'a> {
    root: &'a Value,
    /// By reference; None while it is being counted: coming there again is a circle.
    known: RefCell<HashMap<&'a str, Option<u64>>>,
}

impl<'a> Sizes<'a> {
    fn of(&self, value: &'a Value) -> Result<u64, String> {
        let mut sum: u64 = 1;
        match value {
            Value::Object(fields) => {
                sum = sum.saturating_add(self.of_references(fields)?);
                for field in fields.values() {
                    sum = sum.saturating_add(self.of(field)?);
                }
            }
            Value::Array(items) => {
                for item in items {
                    sum = sum.saturating_add(self.of(item)?);
                }
            }
            _ => {}
        }
        Ok(sum)
    }

    fn of_references(&self, fields: &'a Map<String, Value>) -> Result<u64, String> {
        for keyword in ["$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"] {
            // What stands in `properties` is a name and its schema, no keyword with a text.
            if fields.get(keyword).is_some_and(Value::is_string)
                && !(keyword == "$id" && std::ptr::eq(fields, self.top()))
            {
                return Err(format!("uses {keyword}, which is not supported; refer by \"$ref\": \"#/$defs/NAME\""));
            }
        }
        match fields.get("$ref") {
            Some(Value::String(reference)) => self.of_reference(reference),
            _ => Ok(0),
        }
    }

    fn top(&self) -> *const Map<String, Value> {
        self.root.as_object().map_or(std::ptr::null(), std::ptr::from_ref)
    }

    fn of_reference(&self, reference: &'a str) -> Result<u64, String> {
        let known = self.known.borrow().get(reference).copied();
        match known {
            Some(Some(size)) => return Ok(size),
            Some(None) => return Err(format!("refers to itself by {reference:?}, which is not supported")),
            None => {}
        }
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
            .ok_or_else(|| format!("refers to {reference:?}, which is not part of it"))?;
        let target =
            self.root.pointer(pointer).ok_or_else(|| format!("refers to {reference:?}, which is not there"))?;
        self.known.borrow_mut().insert(reference, None);
        let size = self.of(target)?;
        self.known.borrow_mut().insert(reference, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(schema: &Value, settings: &Value) -> Vec<(String, String)> {
        let violations = violations(&schema.to_string(), settings).unwrap();
        violations.into_iter().map(|violation| (violation.path, violation.message)).collect()
    }

    #[test]
    fn all_violations_come_at_once_each_at_its_value() {
        let schema = json!({
            "$id": "https://example.org/schema",
            "type": "object",
            "additionalProperties": false,
            "required": ["words", "a/b"],
            "properties": {
                "words": {"type": "array", "items": {"$ref": "#/$defs/word"}},
                "limit": {"type": "integer", "minimum": 1},
                "a/b": {},
                "$ref": {"type": "string"}
            },
            "$defs": {"word": {"type": "string", "pattern": "^[a-z]+$"}}
        });
        let mut all = found(&schema, &json!({"words": ["ok", "NO", 3], "limit": 0, "lmit": 1}));
        all.sort();
        let paths: Vec<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["/a~1b", "/limit", "/lmit", "/words/1", "/words/2"]);
        assert_eq!(all[0].1, "is missing");
        assert!(all[1].1.contains("less than the minimum of 1"), "{all:?}");
        assert_eq!(all[2].1, "unknown key");
        assert_eq!(found(&schema, &json!({"words": ["ok"], "limit": 1, "a/b": null})), []);
    }

    #[test]
    fn nothing_and_everything_are_schemas() {
        for schema in ["", "{}", "true"] {
            assert_eq!(violations(schema, &json!({"a": 1})), Ok(Vec::new()), "{schema}");
        }
    }

    #[test]
    fn long_values_are_not_repeated_in_full() {
        let all = found(&json!({"properties": {"a": {"type": "integer"}}}), &json!({"a": "x".repeat(100_000)}));
        assert!(all[0].1.chars().count() <= LONGEST_MESSAGE + 1);
    }

    /// What would take for ever, or reach out, or end the process.
    #[test]
    fn hostile_schemas_are_refused() {
        let doubling: Map<String, Value> = (0..40)
            .map(|n| {
                let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
                (format!("d{n}"), json!({"allOf": [next, next]}))
            })
            .chain([("d40".to_owned(), json!({}))])
            .collect();
        for (schema, expected) in [
            (json!({"$ref": "#"}).to_string(), "refers to itself"),
            (
                json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}})
                    .to_string(),
                "refers to itself",
            ),
            (json!({"$ref": "#/$defs/d0", "$defs": doubling}).to_string(), "once its references are followed"),
            (json!({"$ref": "https://example.org/schema"}).to_string(), "not part of it"),
            (json!({"$ref": "file:///etc/passwd"}).to_string(), "not part of it"),
            (json!({"$ref": "#/$defs/gone"}).to_string(), "not there"),
            (json!({"$dynamicRef": "#a"}).to_string(), "$dynamicRef"),
            (
                json!({"properties": {"a": {"pattern": "((a{1,100}){1,100}){1,100}"}}}).to_string(),
                "is not a JSON Schema",
            ),
            (json!({"properties": {"a": {"pattern": "("}}}).to_string(), "is not a JSON Schema"),
            (json!({"type": "strnig"}).to_string(), "is not a JSON Schema"),
            ("{".to_owned(), "is not JSON"),
            ("[".repeat(100_000), "is not JSON"),
            (format!("{{\"title\": \"{}\"}}", "x".repeat(LONGEST)), "bytes, at most"),
        ] {
            let error = violations(&schema, &json!({"a": "aaaa"})).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn patterns_are_matched_in_linear_time() {
        let schema = json!({"properties": {"a": {"pattern": "^(a+)+$"}}});
        let began = std::time::Instant::now();
        assert_eq!(found(&schema, &json!({"a": format!("{}b", "a".repeat(50_000))})).len(), 1);
        assert!(began.elapsed().as_secs() < 5);
    }
}
