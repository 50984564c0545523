//! Edits in one line each, as `expected.toml` names them.

use wasmilter_message::decision::{Annotation, Edit};

/// An edit's name in the contract and what it is about; see `FORMAT.md`.
#[must_use]
pub fn edit_line(edit: &Edit) -> String {
    let name = edit.name();
    match edit {
        Edit::AddHeader(field) | Edit::InsertHeader(field) => format!("{name} {}: {}", field.name, field.value),
        Edit::ReplaceHeader { name: field, occurrence, value } => format!("{name} {field}#{occurrence}: {value}"),
        Edit::RemoveHeader { name: field, occurrence: 0 } => format!("{name} {field}"),
        Edit::RemoveHeader { name: field, occurrence } => format!("{name} {field}#{occurrence}"),
        Edit::SetSubject(text) => format!("{name} {text}"),
        Edit::ReplacePart { part, with } => format!("{name} {part} by {} {:?}", with.media_type, with.file_name),
        Edit::RemovePart(part) => format!("{name} {part}"),
        Edit::AddPart(part) => format!("{name} {} {:?}", part.media_type, part.file_name),
        Edit::AppendText(text) | Edit::PrependText(text) => format!("{name} {}", readable(text)),
        Edit::ReplaceContent { headers, .. } => {
            let fields: Vec<_> = headers.iter().map(|field| format!("{}: {}", field.name, field.value)).collect();
            format!("{name} {}", fields.join("; "))
        }
        Edit::SetSender(address) | Edit::AddRecipient(address) => format!("{name} {}", address.address),
        Edit::RemoveRecipient(address) => format!("{name} {address}"),
        Edit::SetClient(client) => format!("{name} {}", client.address),
    }
}

fn readable(text: &Annotation) -> &str {
    if text.plain.is_empty() { &text.html } else { &text.plain }
}
