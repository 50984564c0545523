//! `[config]` as the plugin gets it: JSON text, with the contents of files in it (`wit/lifecycle.wit`, `configure`).

use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::{fs, io, path::Path};
use toml::Value as Toml;

/// The configuration as JSON. `Err`: what is wrong with it.
pub(crate) fn json(config: &toml::Table, folder: &Path) -> Result<Value, String> {
    let mut object = Map::new();
    for (key, value) in config {
        object.insert(key.clone(), converted(value, folder)?);
    }
    Ok(Value::Object(object))
}

fn converted(value: &Toml, folder: &Path) -> Result<Value, String> {
    Ok(match value {
        Toml::String(text) => Value::from(text.as_str()),
        Toml::Integer(number) => Value::from(*number),
        Toml::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Value::Number(number),
            None => return Err(format!("{number} is no number that JSON has")),
        },
        Toml::Boolean(flag) => Value::from(*flag),
        Toml::Datetime(when) => Value::from(when.to_string()),
        Toml::Array(list) => Value::Array(list.iter().map(|value| converted(value, folder)).collect::<Result<_, _>>()?),
        Toml::Table(table) => match (table.len(), table.get("file"), table.get("directory")) {
            (1, Some(Toml::String(path)), _) => read(path, || file(path, folder))?,
            (1, _, Some(Toml::String(path))) => read(path, || directory(path, folder))?,
            _ => json(table, folder)?,
        },
    })
}

fn read(path: &str, read: impl FnOnce() -> io::Result<Value>) -> Result<Value, String> {
    read().map_err(|error| format!("{path:?} can not be read: {error}"))
}

fn file(path: &str, folder: &Path) -> io::Result<Value> {
    let mut object = Map::from_iter([("file".to_owned(), Value::from(path))]);
    put_content(&mut object, &fs::read(folder.join(path))?);
    Ok(Value::Object(object))
}

/// As the daemon does: regular files only, names that begin with a dot are left out, sorted by name.
fn directory(path: &str, folder: &Path) -> io::Result<Value> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.join(path))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && fs::metadata(entry.path())?.is_file() {
            files.push((name, fs::read(entry.path())?));
        }
    }
    files.sort();
    let files = files.into_iter().map(|(name, content)| {
        let mut object = Map::from_iter([("name".to_owned(), Value::from(name))]);
        put_content(&mut object, &content);
        Value::Object(object)
    });
    Ok(json!({ "directory": path, "files": files.collect::<Vec<_>>() }))
}

fn put_content(object: &mut Map<String, Value>, content: &[u8]) {
    match std::str::from_utf8(content) {
        Ok(text) => object.insert("content".to_owned(), Value::from(text)),
        Err(_) => object.insert("base64".to_owned(), base64::engine::general_purpose::STANDARD.encode(content).into()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_with_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("d/sub")).unwrap();
        fs::write(path("d/b.bin"), [0xff]).unwrap();
        fs::write(path("d/a.txt"), "ä").unwrap();
        fs::write(path("d/.hidden"), "").unwrap();
        let config: toml::Table = r#"
            list = [{ file = "d/a.txt" }, { file = "d/a.txt", more = 1 }]
            all = { directory = "d" }
            when = 2026-01-01
            number = 1.5
        "#
        .parse()
        .unwrap();
        let expected = json!({
            "list": [{ "file": "d/a.txt", "content": "ä" }, { "file": "d/a.txt", "more": 1 }],
            "all": { "directory": "d", "files": [{ "name": "a.txt", "content": "ä" }, { "name": "b.bin", "base64": "/w==" }] },
            "when": "2026-01-01",
            "number": 1.5,
        });
        assert_eq!(json(&config, folder.path()), Ok(expected));
        let missing: toml::Table = "a = [{ file = 'none' }]".parse().unwrap();
        assert!(json(&missing, folder.path()).unwrap_err().starts_with("\"none\" can not be read: No such file"));
        assert!(json(&"a = nan".parse().unwrap(), folder.path()).unwrap_err().contains("NaN"));
    }
}
