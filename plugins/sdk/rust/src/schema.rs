//! The JSON Schema of a configuration, as administrators and their tools want to read it.
//!
//! What is derived describes JSON for programs. A configuration is TOML, which has no null; and a checker says more of a value that is
//! not in a list than of one that fits none of several schemas.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The schema (draft 2020-12) as text.
pub(crate) fn of<T: JsonSchema>() -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    if let Some(map) = schema.as_object_mut() {
        // The name of a Rust type.
        map.remove("title");
    }
    tidy(&mut schema);
    schema.to_string()
}

fn tidy(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for (key, child) in map.iter_mut() {
        match (key.as_str(), child) {
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples" | "required", _) => {}
            // Their keys are the administrator's.
            ("properties" | "patternProperties" | "$defs", Value::Object(children)) => {
                children.values_mut().for_each(tidy);
            }
            (_, Value::Array(children)) => children.iter_mut().for_each(tidy),
            (_, child) => tidy(child),
        }
    }
    forget_null(map);
    forget_sizes_of_numbers(map);
    list_constants(map);
}

/// `null` can not be written in TOML.
fn forget_null(map: &mut Map<String, Value>) {
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = map.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

/// `uint32` and `double` are no formats of JSON Schema; limits say the same.
fn forget_sizes_of_numbers(map: &mut Map<String, Value>) {
    let of_number =
        |format: &str| format.starts_with("uint") || format.starts_with("int") || matches!(format, "double" | "float");
    if map.get("format").and_then(Value::as_str).is_some_and(of_number) {
        map.remove("format");
    }
}

/// Several constants, each with a description, become a list of values with one description.
fn list_constants(map: &mut Map<String, Value>) {
    let Some(choices) = map.get("oneOf").and_then(Value::as_array) else { return };
    let mut values = Vec::new();
    let mut lines: Vec<String> =
        map.get("description").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    for choice in choices {
        // A constant, or constants without descriptions.
        match (choice.get("const"), choice.get("enum").and_then(Value::as_array)) {
            (Some(value @ Value::String(name)), None) => {
                values.push(value.clone());
                lines.extend(choice.get("description").and_then(Value::as_str).map(|text| format!("`{name}`: {text}")));
            }
            (None, Some(names)) if names.iter().all(Value::is_string) => values.extend(names.iter().cloned()),
            _ => return,
        }
    }
    map.remove("oneOf");
    map.insert("type".to_owned(), Value::from("string"));
    map.insert("enum".to_owned(), Value::Array(values));
    if !lines.is_empty() {
        map.insert("description".to_owned(), Value::from(lines.join("\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    /// `[stage.config]`
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Config {
        /// Number.
        #[schemars(range(max = 9))]
        limit: Option<u32>,
        #[serde(default)]
        action: Option<Action>,
        /// A property that is named like a keyword.
        title: String,
        format: f64,
    }

    /// What happens.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code, reason = "only its schema is looked at")]
    enum Action {
        /// It is refused.
        Reject,
        /// It is held.
        Quarantine,
        Pass,
    }

    #[test]
    fn the_schema_is_for_people_who_write_toml() {
        let schema: Value = of::<Config>().parse().unwrap();
        let expected = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "description": "`[stage.config]`",
            "type": "object",
            "additionalProperties": false,
            "required": ["title", "format"],
            "properties": {
                "limit": { "description": "Number.", "type": "integer", "minimum": 0, "maximum": 9 },
                "action": { "$ref": "#/$defs/Action" },
                "title": { "description": "A property that is named like a keyword.", "type": "string" },
                "format": { "type": "number" },
            },
            "$defs": { "Action": schema["$defs"]["Action"] },
        });
        assert_eq!(schema, expected);
        let action = &schema["$defs"]["Action"];
        assert_eq!(action["description"], "What happens.\n`reject`: It is refused.\n`quarantine`: It is held.");
        let mut names: Vec<&str> = action["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        assert_eq!((names, &action["type"]), (vec!["pass", "quarantine", "reject"], &json!("string")));
    }
}
