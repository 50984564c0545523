//! Edits of header fields.

use super::subject;
use crate::{
    decision::Edit,
    headers::{Entry, Field, Headers},
    view::is_content_field,
};
use bytes::Bytes;

/// The header fields after the edits, which have been checked.
pub(super) fn edited(headers: &Headers, edits: &[Edit]) -> Headers {
    let old = headers.entries();
    // What becomes of each entry: None when it goes.
    let mut kept: Vec<Option<Entry>> = old.iter().cloned().map(Some).collect();
    let mut top = Vec::new();
    let mut bottom = Vec::new();
    let mut new_subject = None;
    let mut touched = false;
    for edit in edits {
        match edit {
            Edit::AddHeader(header) => bottom.push(added(&header.name, raw(&header.value))),
            Edit::InsertHeader(header) => top.push(added(&header.name, raw(&header.value))),
            Edit::ReplaceHeader { name, occurrence, value } => {
                if let Some(place) = place_of(old, name, *occurrence) {
                    replace(&mut kept, old, place, raw(value));
                }
            }
            Edit::RemoveHeader { name, occurrence: 0 } => {
                for (slot, entry) in kept.iter_mut().zip(old) {
                    if entry.field.is(name) {
                        *slot = None;
                    }
                }
            }
            Edit::RemoveHeader { name, occurrence } => {
                if let Some(slot) = place_of(old, name, *occurrence).and_then(|place| kept.get_mut(place)) {
                    *slot = None;
                }
            }
            Edit::SetSubject(text) => {
                let before = old.iter().position(|entry| entry.field.is("Subject"));
                let charset =
                    before.and_then(|place| old.get(place)).and_then(|old| subject::charset(&old.field.value));
                let value = raw(&subject::encode(text, charset));
                match before {
                    Some(place) => replace(&mut kept, old, place, value),
                    None => new_subject = Some(added("Subject", value)),
                }
            }
            _ => continue,
        }
        touched = true;
    }
    if !touched {
        return headers.clone();
    }
    let mut edited = headers.clone();
    let entries = top.into_iter().chain(kept.into_iter().flatten()).chain(new_subject).chain(bottom);
    *edited.entries_mut() = entries.collect();
    edited
}

/// The same header with other `MIME-Version` and `Content-*` fields. Fields that stay keep their place, a field with a
/// new value takes the place of the old one, further ones come last.
pub(super) fn with_content_fields(mut headers: Headers, fields: Vec<Field>) -> Headers {
    let mut wanted: Vec<Option<Field>> = fields.into_iter().map(Some).collect();
    headers.entries_mut().retain_mut(|entry| {
        if !is_content_field(&entry.field.name) {
            return true;
        }
        let same_name = |slot: &&mut Option<Field>| {
            slot.as_ref().is_some_and(|field| field.name.eq_ignore_ascii_case(&entry.field.name))
        };
        let Some(field) = wanted.iter_mut().find(same_name).and_then(Option::take) else { return false };
        if field.value != entry.field.value {
            entry.field.value = field.value;
            entry.changed = true;
        }
        true
    });
    let rest = wanted.into_iter().flatten().map(|field| Entry { field, received: None, changed: false });
    headers.entries_mut().extend(rest);
    headers
}

/// The raw form of a value: one space in front, lines folded by CRLF.
pub(super) fn raw(value: &str) -> Bytes {
    let mut raw = String::with_capacity(value.len().saturating_add(1));
    raw.push(' ');
    for (number, line) in value.split('\n').enumerate() {
        if number > 0 {
            raw.push_str("\r\n");
        }
        raw.push_str(line.strip_suffix('\r').unwrap_or(line));
    }
    raw.into()
}

fn added(name: &str, value: Bytes) -> Entry {
    Entry { field: Field::new(Bytes::copy_from_slice(name.as_bytes()), value), received: None, changed: false }
}

fn replace(kept: &mut [Option<Entry>], old: &[Entry], place: usize, value: Bytes) {
    let (Some(slot), Some(entry)) = (kept.get_mut(place), old.get(place)) else { return };
    let changed = entry.changed || entry.field.value != value;
    *slot = Some(Entry { field: Field::new(entry.field.name.clone(), value), received: entry.received, changed });
}

fn place_of(entries: &[Entry], name: &str, occurrence: u32) -> Option<usize> {
    let before = usize::try_from(occurrence.checked_sub(1)?).ok()?;
    let mut named = entries.iter().enumerate().filter(|(_, entry)| entry.field.is(name));
    named.nth(before).map(|(place, _)| place)
}
