//! `[stage.config]`: a plugin's own settings. The host does not know them; it keeps where each was written, so that
//! what the plugin says about `/thresholds/reject` can be shown at its line.

use super::{
    reader::{Reader, join, kind},
    source::{Located, Spot},
};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// A plugin's settings as written.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The settings as JSON, `{ file = … }` and `{ directory = … }` not yet expanded.
    pub json: serde_json::Map<String, serde_json::Value>,
    /// Where each value was written, by JSON pointer (RFC 6901); the empty one is the table.
    spots: BTreeMap<String, Spot>,
    /// Files and directories to put in, by JSON pointer.
    pub(crate) insertions: Vec<(String, Located<Insertion>)>,
}

/// What the administrator wants to be put into the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// `{ file = "…" }`
    File(String),
    /// `{ directory = "…" }`
    Directory(String),
}

impl Insertion {
    /// As written.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }
}

/// Deeper settings are refused: nobody writes them, and each level costs stack.
const DEEPEST: usize = 64;

impl Settings {
    pub(super) fn read(field: Option<(&DeValue<'_>, Spot)>, table: &Reader<'_>) -> Self {
        let mut settings = Self::default();
        let Some((value, at)) = field else {
            // What is missing in it is shown at the stage.
            let at = Spot { key: join(&table.at().key, "config"), span: table.at().span.clone() };
            settings.spots.insert(String::new(), at);
            return settings;
        };
        if value.as_table().is_none() {
            table.wrong(&at, format!("must be a table, is {}", kind(value)), None);
            settings.spots.insert(String::new(), at);
            return settings;
        }
        if let serde_json::Value::Object(json) = settings.convert(value, String::new(), at, table, 0) {
            settings.json = json;
        }
        settings
    }

    /// Where the value at `pointer` was written; when it was not, the nearest enclosing one, with the missing rest in the key.
    #[must_use]
    pub fn spot(&self, pointer: &str) -> Spot {
        let mut known = pointer;
        loop {
            if let Some(spot) = self.spots.get(known) {
                let rest = pointer.get(known.len()..).unwrap_or_default();
                let key = rest.split('/').skip(1).fold(spot.key.clone(), |key, name| {
                    if name.parse::<u32>().is_ok() { format!("{key}[{name}]") } else { join(&key, &unescape(name)) }
                });
                return Spot { key, span: spot.span.clone() };
            }
            match known.rsplit_once('/') {
                Some((parent, _)) => known = parent,
                // Not even the whole: a pointer that does not begin with a slash.
                None => return self.spots.get("").cloned().unwrap_or_default(),
            }
        }
    }

    fn convert(
        &mut self,
        value: &DeValue<'_>,
        pointer: String,
        at: Spot,
        table: &Reader<'_>,
        depth: usize,
    ) -> serde_json::Value {
        use serde_json::Value;
        if depth > DEEPEST {
            table.wrong(&at, format!("is nested deeper than {DEEPEST} levels"), None);
            return Value::Null;
        }
        self.spots.insert(pointer.clone(), at.clone());
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(when) => Value::String(when.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => {
                    table.wrong(&at, format!("must fit into 64 bits, is {integer}"), None);
                    Value::Null
                }
            },
            DeValue::Float(float) => match float.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                Some(number) => Value::Number(number),
                None => {
                    table.wrong(&at, format!("must be a number that JSON has, is {float}"), None);
                    Value::Null
                }
            },
            DeValue::Array(array) => {
                let one = |(place, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                    let at = Spot { key: format!("{}[{place}]", at.key), span: item.span() };
                    self.convert(item.get_ref(), format!("{pointer}/{place}"), at, table, depth.saturating_add(1))
                };
                Value::Array(array.iter().enumerate().map(one).collect())
            }
            DeValue::Table(entries) => {
                if depth > 0 && entries.len() == 1 {
                    for (name, build) in
                        [("file", Insertion::File as fn(String) -> Insertion), ("directory", Insertion::Directory)]
                    {
                        if let Some(path) = entries.get(name)
                            && let Some(text) = path.get_ref().as_str()
                        {
                            let at = Spot { key: join(&at.key, name), span: path.span() };
                            self.insertions.push((pointer.clone(), Located { value: build(text.to_owned()), at }));
                        }
                    }
                }
                let one = |(name, item): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                    let name: &str = name.get_ref();
                    let at = Spot { key: join(&at.key, name), span: item.span() };
                    let pointer = format!("{pointer}/{}", escape(name));
                    (name.to_owned(), self.convert(item.get_ref(), pointer, at, table, depth.saturating_add(1)))
                };
                Value::Object(entries.iter().map(one).collect())
            }
        }
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
