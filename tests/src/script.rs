//! Stages that run the test guests of `tests/guests`, written as TOML.

use serde_json::{Value, json};

/// A stage with the guest `scripted`, which says what its configuration says.
#[must_use]
pub fn scripted(name: &str, more: &str, config: &Value) -> String {
    let grants = r#"grants = ["envelope", "headers", "body", "recipients", "set-client"]"#;
    stage(name, "scripted", &format!("{grants}\n{more}"), config)
}

/// A stage with any guest; `more` are further keys of the stage.
#[must_use]
pub fn stage(name: &str, guest: &str, more: &str, config: &Value) -> String {
    // A value on its own is written in one line, so that tables in it need no names.
    let config = toml::Value::try_from(config).expect("a configuration without nulls");
    format!("[[stage]]\nname = {name:?}\nplugin = \"GUESTS/{guest}.wasm\"\n{more}\nconfig = {config}\n")
}

/// A decision that only edits.
#[must_use]
pub fn edits(edits: &Value) -> Value {
    json!({ "edits": edits })
}
