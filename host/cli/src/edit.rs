//! An edit in words and in JSON: what it does to what; of contents only the size.

use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};
use wasmilter_message::decision::{Annotation, Edit, NewPart};

/// Writes an edit in one line.
pub(crate) struct Summary<'a>(pub(crate) &'a Edit);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.name();
        match self.0 {
            Edit::AddHeader(header) | Edit::InsertHeader(header) => {
                write!(f, "{name} {}: {}", header.name, header.value.escape_debug())
            }
            Edit::ReplaceHeader { name: header, occurrence, value } => {
                write!(f, "{name} {header}[{occurrence}]: {}", value.escape_debug())
            }
            Edit::RemoveHeader { name: header, occurrence: 0 } => write!(f, "{name} {header} (all)"),
            Edit::RemoveHeader { name: header, occurrence } => write!(f, "{name} {header}[{occurrence}]"),
            Edit::SetSubject(subject) => write!(f, "{name} {subject:?}"),
            Edit::ReplacePart { part, with } => write!(f, "{name} {part} with {}", describe(with)),
            Edit::RemovePart(part) => write!(f, "{name} {part}"),
            Edit::AddPart(part) => write!(f, "{name} {}", describe(part)),
            Edit::AppendText(text) | Edit::PrependText(text) => {
                let Annotation { plain, html } = text;
                write!(f, "{name} plain {} bytes, html {} bytes", plain.len(), html.len())
            }
            Edit::ReplaceContent { headers, body } => {
                write!(f, "{name} {} header fields, body {} bytes", headers.len(), body.len())
            }
            Edit::SetSender(address) | Edit::AddRecipient(address) => write!(f, "{name} <{}>", address.address),
            Edit::RemoveRecipient(address) => write!(f, "{name} <{address}>"),
            Edit::SetClient(client) => write!(f, "{name} {}", client.address),
        }
    }
}

fn describe(part: &NewPart) -> String {
    let file = if part.file_name.is_empty() { String::new() } else { format!(" {:?}", part.file_name) };
    format!("{}{file}, {} bytes", part.media_type, part.content.len())
}

/// The edit as a JSON object; `edit` is its name.
pub(crate) fn to_json(edit: &Edit) -> Value {
    let name = edit.name();
    match edit {
        Edit::AddHeader(header) | Edit::InsertHeader(header) => {
            json!({"edit": name, "name": header.name, "value": header.value})
        }
        Edit::ReplaceHeader { name: header, occurrence, value } => {
            json!({"edit": name, "name": header, "occurrence": occurrence, "value": value})
        }
        Edit::RemoveHeader { name: header, occurrence } => {
            json!({"edit": name, "name": header, "occurrence": occurrence})
        }
        Edit::SetSubject(subject) => json!({"edit": name, "subject": subject}),
        Edit::ReplacePart { part, with } => json!({"edit": name, "part": part, "replacement": part_to_json(with)}),
        Edit::RemovePart(part) => json!({"edit": name, "part": part}),
        Edit::AddPart(part) => json!({"edit": name, "new_part": part_to_json(part)}),
        Edit::AppendText(text) | Edit::PrependText(text) => {
            json!({"edit": name, "plain": text.plain, "html": text.html})
        }
        Edit::ReplaceContent { headers, body } => json!({"edit": name, "headers": headers, "body_size": body.len()}),
        Edit::SetSender(address) | Edit::AddRecipient(address) => {
            json!({"edit": name, "address": address.address, "arguments": address.arguments})
        }
        Edit::RemoveRecipient(address) => json!({"edit": name, "address": address}),
        Edit::SetClient(client) => json!({"edit": name, "client": client}),
    }
}

fn part_to_json(part: &NewPart) -> Value {
    json!({"media_type": part.media_type, "file_name": part.file_name, "size": part.content.len()})
}
