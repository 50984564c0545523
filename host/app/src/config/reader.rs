//! A reader of TOML tables that notes every mistake and goes on, where serde would stop at the first.
//!
//! Each field is asked for once, with its type and its default; at the end whatever nobody asked for is an unknown key.

use super::{
    diagnostic::Diagnostics,
    source::{Located, Spot},
    units,
};
use std::{cell::RefCell, ops::Range, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A table that is being read.
pub(super) struct Reader<'a> {
    table: Option<&'a DeTable<'a>>,
    at: Spot,
    known: Vec<&'static str>,
    problems: &'a RefCell<Diagnostics>,
}

impl<'a> Reader<'a> {
    /// Reads `table`, which stands at `at`. None: a table that was not written, every field has its default.
    pub(super) fn new(table: Option<&'a DeTable<'a>>, at: Spot, problems: &'a RefCell<Diagnostics>) -> Self {
        Self { table, at, known: Vec::new(), problems }
    }

    /// Where the table is.
    pub(super) fn at(&self) -> &Spot {
        &self.at
    }

    /// Whether the table was written at all.
    pub(super) fn written(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a field was written, whatever it is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Where a field's value was written.
    pub(super) fn spot_of(&self, name: &str) -> Option<Spot> {
        let value = self.table?.get(name)?;
        Some(Spot { key: join(&self.at.key, name), span: value.span() })
    }

    /// Notes a mistake.
    pub(super) fn wrong(&self, at: &Spot, message: impl Into<String>, help: Option<String>) {
        self.problems.borrow_mut().add(at, message, help);
    }

    /// Notes that a field is missing.
    pub(super) fn missing(&self, name: &str, help: &str) {
        let at = Spot { key: join(&self.at.key, name), span: self.at.span.clone() };
        self.wrong(&at, "is missing", Some(help.to_owned()));
    }

    /// A field as it stands.
    pub(super) fn field(&mut self, name: &'static str) -> Option<(&'a DeValue<'a>, Spot)> {
        self.known.push(name);
        let value = self.table?.get(name)?;
        Some((value.get_ref(), Spot { key: join(&self.at.key, name), span: value.span() }))
    }

    /// A string.
    pub(super) fn text(&mut self, name: &'static str) -> Option<Located<String>> {
        let (value, at) = self.field(name)?;
        self.string(value, at, "a string")
    }

    /// A string that `parse` understands; its error says "must be …, is …".
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        let (value, at) = self.field(name)?;
        let text = self.string(value, at, what)?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(message) => {
                self.wrong(&text.at, message, None);
                None
            }
        }
    }

    /// A length of time within `range`.
    pub(super) fn duration(&mut self, name: &'static str, range: Range<Duration>, default: Duration) -> Duration {
        let read = self.parsed(name, "a length of time such as \"10s\"", units::duration);
        let (least, most) = (units::show_duration(range.start), units::show_duration(range.end));
        self.within(read, |v| range.contains(v) || *v == range.end, units::show_duration, &least, &most, default)
    }

    /// A size in bytes within `range`.
    pub(super) fn size(&mut self, name: &'static str, range: Range<u64>, default: u64) -> u64 {
        let read = self.parsed(name, "a size such as \"25MB\"", units::size);
        let (least, most) = (units::show_size(range.start), units::show_size(range.end));
        self.within(read, |v| (range.start..=range.end).contains(v), units::show_size, &least, &most, default)
    }

    /// A whole number within `range`.
    pub(super) fn number(&mut self, name: &'static str, range: Range<u32>, default: u32) -> u32 {
        let Some((value, at)) = self.field(name) else { return default };
        let Some(integer) = value.as_integer() else {
            self.wrong(&at, format!("must be a whole number, is {}", kind(value)), None);
            return default;
        };
        match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (i128::from(range.start)..=i128::from(range.end)).contains(&number) => {
                u32::try_from(number).unwrap_or(default)
            }
            _ => {
                self.wrong(&at, format!("must be {} to {}, is {integer}", range.start, range.end), None);
                default
            }
        }
    }

    /// A part of a whole, 0 to 1.
    pub(super) fn part(&mut self, name: &'static str, default: f64) -> f64 {
        let Some((value, at)) = self.field(name) else { return default };
        let float = value.as_float().map(|float| float.as_str());
        let written = float.or_else(|| value.as_integer().map(|integer| integer.as_str()));
        match written.and_then(|text| text.parse::<f64>().ok()) {
            Some(part) if (0.0..=1.0).contains(&part) => part,
            _ => {
                let shown = written.map_or_else(|| kind(value), str::to_owned);
                self.wrong(&at, format!("must be a number from 0 to 1, is {shown}"), None);
                default
            }
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let Some((value, at)) = self.field(name) else { return default };
        match value.as_bool() {
            Some(flag) => flag,
            None => {
                self.wrong(&at, format!("must be true or false, is {}", kind(value)), None);
                default
            }
        }
    }

    /// One of several names.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)], default: T) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let Some((value, at)) = self.field(name) else { return default };
        let Some(text) = self.string(value, at, &format!("one of {}", names.join(", "))) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text.value) {
            return *choice;
        }
        let help = nearest(&text.value, &names).map(|name| format!("did you mean {name:?}?"));
        self.wrong(&text.at, format!("must be one of {}, is {:?}", names.join(", "), text.value), help);
        default
    }

    /// A list of strings; a single string stands for a list of one when `or_one`.
    pub(super) fn texts(&mut self, name: &'static str, or_one: bool) -> Option<Vec<Located<String>>> {
        let (value, at) = self.field(name)?;
        if or_one && let Some(text) = value.as_str() {
            return Some(vec![Located { value: text.to_owned(), at }]);
        }
        let Some(array) = value.as_array() else {
            self.wrong(&at, format!("must be a list of strings, is {}", kind(value)), None);
            return None;
        };
        let one = |(place, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let at = Spot { key: format!("{}[{place}]", at.key), span: item.span() };
            self.string(item.get_ref(), at, "a string")
        };
        Some(array.iter().enumerate().filter_map(one).collect())
    }

    /// A table inside this one; one that was not written has every default.
    pub(super) fn table(&mut self, name: &'static str) -> Reader<'a> {
        match self.field(name) {
            None => {
                let at = Spot { key: join(&self.at.key, name), span: self.at.span.clone() };
                Reader::new(None, at, self.problems)
            }
            Some((value, at)) => self.table_of(value, at),
        }
    }

    /// Tables inside this one that people name: `[services.clamd]`.
    pub(super) fn named_tables(&mut self, name: &'static str) -> Vec<(Located<String>, Reader<'a>)> {
        let Some((value, at)) = self.field(name) else { return Vec::new() };
        let Some(table) = value.as_table() else {
            self.wrong(&at, format!("must be a table, is {}", kind(value)), None);
            return Vec::new();
        };
        let one = |(name, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name_text: &std::borrow::Cow<'a, str> = name.get_ref();
            let key = join(&at.key, name_text);
            let located = Located { value: name_text.to_string(), at: Spot { key: key.clone(), span: name.span() } };
            (located, self.table_of(value.get_ref(), Spot { key, span: name.span() }))
        };
        table.iter().map(one).collect()
    }

    /// A list of tables: `[[stage]]`.
    pub(super) fn tables(&mut self, name: &'static str) -> Vec<Reader<'a>> {
        let Some((value, at)) = self.field(name) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.wrong(&at, format!("must be a list of tables, is {}", kind(value)), Some(format!("write [[{name}]]")));
            return Vec::new();
        };
        let one = |(place, item): (usize, &'a Spanned<DeValue<'a>>)| {
            self.table_of(item.get_ref(), Spot { key: format!("{}[{place}]", at.key), span: item.span() })
        };
        array.iter().enumerate().map(one).collect()
    }

    /// Ends the reading: reports what nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (name, _) in table {
            let text: &str = name.get_ref();
            if self.known.contains(&text) {
                continue;
            }
            let at = Spot { key: join(&self.at.key, text), span: name.span() };
            let help = match nearest(text, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys here: {}", self.known.join(", ")),
            };
            self.wrong(&at, "unknown key", Some(help));
        }
    }

    fn table_of(&self, value: &'a DeValue<'a>, at: Spot) -> Reader<'a> {
        if value.as_table().is_none() {
            self.wrong(&at, format!("must be a table, is {}", kind(value)), None);
        }
        Reader::new(value.as_table(), at, self.problems)
    }

    fn string(&self, value: &DeValue<'_>, at: Spot, what: &str) -> Option<Located<String>> {
        match value.as_str() {
            Some(text) => Some(Located { value: text.to_owned(), at }),
            None => {
                self.wrong(&at, format!("must be {what}, is {}", kind(value)), None);
                None
            }
        }
    }

    fn within<T>(
        &self,
        read: Option<Located<T>>,
        fits: impl Fn(&T) -> bool,
        show: impl Fn(T) -> String,
        least: &str,
        most: &str,
        default: T,
    ) -> T {
        match read {
            Some(read) if fits(&read.value) => read.value,
            Some(read) => {
                self.wrong(&read.at, format!("must be {least} to {most}, is {}", show(read.value)), None);
                default
            }
            None => default,
        }
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(integer) => format!("the number {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A key inside another, quoted where TOML would want it quoted.
pub(super) fn join(parent: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

/// The known name that somebody most likely meant, when one is near enough.
pub(crate) fn nearest<'n>(text: &str, known: &[&'n str]) -> Option<&'n str> {
    // Names are short; a long one is no typing mistake, and comparing costs the product of the lengths.
    if text.len() > 100 {
        return None;
    }
    let scored = known.iter().map(|name| (strsim::jaro_winkler(&text.to_ascii_lowercase(), name), *name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
