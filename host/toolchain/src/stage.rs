//! A pipeline of this plugin alone, to look at what it decides.

use anyhow::{Context, Result, bail};
use std::{fmt::Write as _, fs, path::Path};
use toml::{Table, Value};

/// Everything that can be granted without naming a service.
const GRANTS: [&str; 9] =
    ["envelope", "headers", "body", "recipients", "set-client", "dns", "store", "clock", "random"];
/// The file of a case that has the plugin's configuration below `[config]`.
const TRANSACTION: &str = "transaction.toml";

/// The text of a `wasmilter.toml` with one stage, which runs `plugin` with everything granted but services, and with the
/// configuration in `config`: TOML or JSON; of a case's `transaction.toml`, what is below `[config]`.
///
/// # Errors
/// When the configuration can not be read, is no table, or is not TOML or JSON.
pub fn alone(name: &str, plugin: &Path, config: Option<&Path>) -> Result<String> {
    let config = config.map(read).transpose()?.unwrap_or_default();
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let plugin = plugin.to_str().with_context(|| format!("{}: must be UTF-8 to be configured", plugin.display()))?;
    let mut text = String::from("[milter]\nlisten = \"inet:127.0.0.1:0\"\n\n[[stage]]\n");
    writeln!(text, "name = {}\nplugin = {}", quoted(name), quoted(plugin))?;
    writeln!(text, "grants = [{}]", GRANTS.map(quoted).join(", "))?;
    writeln!(text, "config = {}", Value::Table(config))?;
    Ok(text)
}

fn read(file: &Path) -> Result<Table> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    if file.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).with_context(|| format!("{}: must be a JSON object", file.display()));
    }
    let mut table: Table = text.parse().with_context(|| format!("{}: is not TOML", file.display()))?;
    if file.file_name().is_none_or(|name| name != TRANSACTION) {
        return Ok(table);
    }
    match table.remove("config") {
        Some(Value::Table(config)) => Ok(config),
        None => Ok(Table::new()),
        Some(_) => bail!("{}: config must be a table", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(file: &str, text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(file);
        fs::write(&file, text).unwrap();
        let whole: Table = alone("a", Path::new("/a \"b\".wasm"), Some(&file))?.parse().unwrap();
        let stage = whole["stage"].as_array().unwrap()[0].as_table().unwrap().clone();
        assert_eq!(stage["plugin"].as_str(), Some("/a \"b\".wasm"));
        Ok(stage["config"].as_table().unwrap().clone())
    }

    #[test]
    fn the_configuration_comes_from_toml_json_or_a_case() {
        let wanted: Table = "words = [\"a \\\"b\\\"\"]\n[deeper]\nnumber = 1.5".parse().unwrap();
        assert_eq!(config("a.toml", "words = ['a \"b\"']\n[deeper]\nnumber = 1.5").unwrap(), wanted);
        assert_eq!(config("a.json", r#"{"words": ["a \"b\""], "deeper": {"number": 1.5}}"#).unwrap(), wanted);
        let case = "from = 'a@example.org'\n[config]\nwords = ['a \"b\"']\n[config.deeper]\nnumber = 1.5";
        assert_eq!(config("transaction.toml", case).unwrap(), wanted);
        assert!(config("transaction.toml", "from = 'a@example.org'").unwrap().is_empty());
        for (file, text) in [("a.json", "[]"), ("a.toml", "= 1"), ("transaction.toml", "config = 1")] {
            let error = config(file, text).unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
        }
    }
}
