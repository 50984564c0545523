//! The checks that stand before every edit.

use super::{
    ApplyError, EditGrants, MAX_ADDRESS, MAX_ANNOTATION, MAX_ARGUMENTS, MAX_CONTENT_ID, MAX_EDITS, MAX_FIELD_NAME,
    MAX_FIELD_VALUE, MAX_FIELD_VALUES, MAX_NEW_CONTENT, MAX_PART_NAME, MAX_RECIPIENTS, envelope,
};
use crate::{
    decision::{Edit, NewAddress, NewHeader, NewPart},
    grants::PartGrant,
    message::ParsedMessage,
    mime::{Part, Role, section::is_ftext, value},
    view::is_content_field,
};

type Checked = Result<(), String>;

/// Checks all edits by themselves and together.
pub(super) fn all(message: &ParsedMessage, edits: &[Edit], grants: EditGrants) -> Result<(), ApplyError> {
    let refuse = |place: usize, reason: String| ApplyError::Refused {
        number: place.saturating_add(1),
        edit: edits.get(place).map_or("", Edit::name),
        reason,
    };
    if edits.len() > MAX_EDITS {
        return Err(refuse(MAX_EDITS, format!("at most {MAX_EDITS} edits in a decision, there are {}", edits.len())));
    }
    let smtp_utf8 = message.envelope.sender.arguments.iter().any(|argument| argument.eq_ignore_ascii_case("SMTPUTF8"));
    let replaces_content = edits.iter().any(|edit| matches!(edit, Edit::ReplaceContent { .. }));
    let edits_content = edits.iter().any(is_content_edit);
    let content_edits = edits.iter().filter(|edit| is_content_edit(edit)).count();
    let (mut new_content, mut new_values) = (0_usize, 0_usize);
    for (place, edit) in edits.iter().enumerate() {
        granted(message, edit, grants).map_err(|reason| refuse(place, reason))?;
        one(message, edit, smtp_utf8).map_err(|reason| refuse(place, reason))?;
        if replaces_content && content_edits > 1 && is_content_edit(edit) {
            return Err(refuse(place, "replace-content goes with no other edit of the content".to_owned()));
        }
        if let Some(name) = field_name(edit).filter(|name| edits_content && is_content_field(name.as_bytes())) {
            return Err(refuse(place, format!("{name} can not be edited together with the content it describes")));
        }
        new_values = new_values.saturating_add(value_size(edit));
        if new_values > MAX_FIELD_VALUES {
            return Err(refuse(place, format!("more than {MAX_FIELD_VALUES} bytes of new field values")));
        }
        new_content = new_content.saturating_add(content_size(message, edit));
        if new_content > MAX_NEW_CONTENT {
            return Err(refuse(place, format!("more than {MAX_NEW_CONTENT} bytes of new content")));
        }
    }
    recipients_remain(message, edits).map_err(|(place, reason)| refuse(place, reason))
}

pub(super) fn is_content_edit(edit: &Edit) -> bool {
    matches!(
        edit,
        Edit::ReplacePart { .. }
            | Edit::RemovePart(_)
            | Edit::AddPart(_)
            | Edit::AppendText(_)
            | Edit::PrependText(_)
            | Edit::ReplaceContent { .. }
    )
}

/// Exhaustive, so that a new edit gets a grant.
fn granted(message: &ParsedMessage, edit: &Edit, grants: EditGrants) -> Checked {
    let (granted, grant) = match edit {
        Edit::AddHeader(_)
        | Edit::InsertHeader(_)
        | Edit::ReplaceHeader { .. }
        | Edit::RemoveHeader { .. }
        | Edit::SetSubject(_) => (grants.headers, "headers"),
        Edit::ReplacePart { part, .. } | Edit::RemovePart(part) => return granted_parts(message, *part, grants),
        Edit::AddPart(_) => (grants.attachments, "attachments"),
        Edit::AppendText(_) | Edit::PrependText(_) => (grants.text, "text"),
        Edit::ReplaceContent { .. } => (grants.raw, "raw"),
        Edit::SetSender(_) | Edit::AddRecipient(_) | Edit::RemoveRecipient(_) => (grants.recipients, "recipients"),
        Edit::SetClient(_) => (grants.set_client, "set-client"),
    };
    if granted { Ok(()) } else { Err(needs(grant)) }
}

/// The part that goes, and everything below it. A frame with nothing in it counts as an attachment.
fn granted_parts(message: &ParsedMessage, id: u32, grants: EditGrants) -> Checked {
    let tree = message.tree();
    let Some(top) = tree.part(id) else {
        // Who may change no part does not learn which there are.
        return if grants.text || grants.attachments { Ok(()) } else { Err(needs("attachments")) };
    };
    // Parts stand in order of appearance: those below it follow it, and have no parent before it.
    let below = tree.parts().iter().skip_while(|part| part.id <= id).take_while(|part| part.parent >= id);
    let mut needed: Vec<PartGrant> =
        std::iter::once(top).chain(below).filter_map(|part| PartGrant::of(tree, part)).collect();
    if needed.is_empty() {
        needed.push(PartGrant::Attachments);
    }
    for grant in needed {
        let granted = match grant {
            PartGrant::Text => grants.text,
            PartGrant::Attachments => grants.attachments,
        };
        if !granted {
            return Err(needs(grant.name()));
        }
    }
    Ok(())
}

fn needs(grant: &str) -> String {
    format!("needs the grant \"{grant}\", which the stage does not have")
}

fn one(message: &ParsedMessage, edit: &Edit, smtp_utf8: bool) -> Checked {
    match edit {
        Edit::AddHeader(header) | Edit::InsertHeader(header) => new_header(header, smtp_utf8),
        Edit::ReplaceHeader { name, occurrence, value } => {
            field_value(value, smtp_utf8)?;
            if *occurrence == 0 {
                return Err("occurrences count from 1".to_owned());
            }
            field_exists(message, name, *occurrence)
        }
        Edit::RemoveHeader { name, occurrence } => {
            legal_name(name)?;
            if *occurrence == 0 { Ok(()) } else { field_exists(message, name, *occurrence) }
        }
        Edit::SetSubject(text) => subject(text),
        Edit::ReplacePart { part, with } => {
            part_exists(message, *part)?;
            new_part(with)
        }
        Edit::RemovePart(part) => part_exists(message, *part),
        Edit::AddPart(part) => new_part(part),
        Edit::AppendText(text) | Edit::PrependText(text) => {
            annotation(&text.plain)?;
            annotation(&text.html)
        }
        Edit::ReplaceContent { headers, .. } => headers.iter().try_for_each(|header| {
            if !is_content_field(header.name.as_bytes()) {
                return Err(format!("only MIME-Version and Content-* belong to the content, not {:?}", header.name));
            }
            new_header(header, smtp_utf8)
        }),
        Edit::SetSender(new) => {
            if !new.address.is_empty() {
                address(&new.address, smtp_utf8)?;
            }
            arguments(new)
        }
        Edit::AddRecipient(new) => {
            address(&new.address, smtp_utf8)?;
            arguments(new)
        }
        Edit::RemoveRecipient(address) => {
            if message.envelope.recipients.iter().any(|recipient| envelope::is_named(recipient, address)) {
                Ok(())
            } else {
                Err("there is no such recipient".to_owned())
            }
        }
        Edit::SetClient(client) => {
            let texts = [client.hostname.as_deref(), client.helo.as_deref()];
            if texts.into_iter().flatten().any(|text| text.len() > MAX_ADDRESS || text.chars().any(char::is_control)) {
                return Err(format!("host names are at most {MAX_ADDRESS} bytes without control characters"));
            }
            Ok(())
        }
    }
}

fn new_header(header: &NewHeader, smtp_utf8: bool) -> Checked {
    legal_name(&header.name)?;
    field_value(&header.value, smtp_utf8)
}

/// RFC 5322 §3.6.8: 1*ftext.
fn legal_name(name: &str) -> Checked {
    if name.is_empty() || !name.bytes().all(is_ftext) {
        return Err(format!("{name:?} is no field name (printable US-ASCII without colon and space)"));
    }
    if name.len() > MAX_FIELD_NAME {
        return Err(format!("field name is longer than {MAX_FIELD_NAME} bytes"));
    }
    Ok(())
}

/// A value that is one field however it is read: every line end folds, and no folded line looks like the empty line
/// that ends the header.
fn field_value(value: &str, smtp_utf8: bool) -> Checked {
    if value.len() > MAX_FIELD_VALUE {
        return Err(format!("value is longer than {MAX_FIELD_VALUE} bytes"));
    }
    if value.contains('\0') {
        return Err("value contains NUL".to_owned());
    }
    if !smtp_utf8 && !value.is_ascii() {
        return Err("value is not US-ASCII: encode it (RFC 2047)".to_owned());
    }
    for (number, line) in value.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains('\r') {
            return Err("value contains a bare CR".to_owned());
        }
        if number > 0 && !line.starts_with([' ', '\t']) {
            return Err("line end in the value is not followed by white space".to_owned());
        }
        if number > 0 && line.trim_ascii().is_empty() {
            return Err("value has a folded line of white space only".to_owned());
        }
    }
    // The last line has no line end that a CR could belong to.
    if value.ends_with('\r') { Err("value contains a bare CR".to_owned()) } else { Ok(()) }
}

fn field_exists(message: &ParsedMessage, name: &str, occurrence: u32) -> Checked {
    legal_name(name)?;
    let count = message.headers.named(name).count();
    if usize::try_from(occurrence).is_ok_and(|occurrence| occurrence <= count) {
        Ok(())
    } else {
        Err(format!("there is no {name} field number {occurrence}, only {count}"))
    }
}

fn subject(text: &str) -> Checked {
    if text.len() > MAX_FIELD_VALUE / 8 {
        return Err(format!("subject is longer than {} bytes", MAX_FIELD_VALUE / 8));
    }
    if text.contains(['\0', '\r', '\n']) {
        return Err("subject contains NUL, CR or LF".to_owned());
    }
    Ok(())
}

fn part_exists(message: &ParsedMessage, id: u32) -> Checked {
    if message.tree().part(id).is_some() { Ok(()) } else { Err(format!("there is no part {id}")) }
}

fn new_part(part: &NewPart) -> Checked {
    let media_type = &part.media_type;
    if media_type.len() > MAX_PART_NAME || part.file_name.len() > MAX_PART_NAME {
        return Err(format!("media type and file name are at most {MAX_PART_NAME} bytes long"));
    }
    if !media_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("media type is not printable US-ASCII".to_owned());
    }
    let parsed = value::content_type(media_type.as_bytes());
    let Some(parsed) = parsed.media_type().filter(|_| parsed.is_media_type()) else {
        return Err(format!("{media_type:?} is no media type"));
    };
    if parsed.starts_with("multipart/") {
        return Err("a multipart can not be written as one part; add its parts, or use replace-content".to_owned());
    }
    if part.file_name.chars().any(char::is_control) {
        return Err("file name contains control characters".to_owned());
    }
    if !matches!(part.disposition.as_str(), "" | "inline" | "attachment") {
        return Err("disposition must be inline, attachment or empty".to_owned());
    }
    content_id(&part.content_id)
}

/// RFC 2045 §7, RFC 5322 §3.6.4: what stands between the angle brackets is one word on one line.
fn content_id(id: &str) -> Checked {
    let valid = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'(' | b')' | b'"' | b'\\');
    if id.len() > MAX_CONTENT_ID {
        return Err(format!("content id is longer than {MAX_CONTENT_ID} bytes"));
    }
    if id.bytes().all(valid) {
        Ok(())
    } else {
        Err("content id must be printable US-ASCII without spaces, quotes, backslashes and brackets".to_owned())
    }
}

fn annotation(text: &str) -> Checked {
    if text.len() > MAX_ANNOTATION {
        return Err(format!("text is longer than {MAX_ANNOTATION} bytes"));
    }
    if text.contains('\0') { Err("text contains NUL".to_owned()) } else { Ok(()) }
}

/// An address that is one address to every MTA: nothing that ends the command, the path or the argument.
fn address(address: &str, smtp_utf8: bool) -> Checked {
    if address.is_empty() || address.len() > MAX_ADDRESS {
        return Err(format!("an address has 1 to {MAX_ADDRESS} bytes"));
    }
    if !smtp_utf8 && !address.is_ascii() {
        return Err("address is not US-ASCII, and the transaction is not SMTPUTF8".to_owned());
    }
    let mut quoted = false;
    let mut characters = address.chars();
    while let Some(character) = characters.next() {
        match character {
            control if control.is_control() => return Err("address contains a control character".to_owned()),
            '<' | '>' => return Err("address contains an angle bracket".to_owned()),
            '"' => quoted = !quoted,
            '\\' if quoted => match characters.next() {
                Some('<' | '>') => return Err("address contains an angle bracket".to_owned()),
                Some(escaped) if !escaped.is_control() => {}
                _ => return Err("address contains a control character".to_owned()),
            },
            ' ' | ',' | ';' | '(' | ')' | '\\' if !quoted => {
                return Err(format!("address contains {character:?} outside quotes"));
            }
            _ => {}
        }
    }
    if quoted {
        return Err("address has a quote without end".to_owned());
    }
    if address.starts_with('@') { Err("address begins with a source route".to_owned()) } else { Ok(()) }
}

fn arguments(new: &NewAddress) -> Checked {
    if new.arguments.len() > MAX_ARGUMENTS {
        return Err(format!("more than {MAX_ARGUMENTS} ESMTP arguments"));
    }
    let valid = |argument: &String| {
        !argument.is_empty() && argument.len() <= MAX_ADDRESS && argument.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if new.arguments.iter().all(valid) {
        Ok(())
    } else {
        Err(format!("an ESMTP argument has 1 to {MAX_ADDRESS} printable US-ASCII characters"))
    }
}

fn field_name(edit: &Edit) -> Option<&str> {
    match edit {
        Edit::AddHeader(header) | Edit::InsertHeader(header) => Some(&header.name),
        Edit::ReplaceHeader { name, .. } | Edit::RemoveHeader { name, .. } => Some(name),
        _ => None,
    }
}

fn value_size(edit: &Edit) -> usize {
    match edit {
        Edit::AddHeader(header) | Edit::InsertHeader(header) => header.value.len(),
        Edit::ReplaceHeader { value, .. } => value.len(),
        Edit::ReplaceContent { headers, .. } => headers.iter().map(|header| header.value.len()).sum(),
        _ => 0,
    }
}

fn content_size(message: &ParsedMessage, edit: &Edit) -> usize {
    let parts = |media_type| {
        let readable = |part: &&Part| part.role == Role::Body && part.media_type == media_type;
        message.tree().parts().iter().filter(readable).count()
    };
    match edit {
        Edit::AppendText(text) | Edit::PrependText(text) => {
            let plain = text.plain.len().saturating_mul(parts("text/plain"));
            plain.saturating_add(text.html.len().saturating_mul(parts("text/html")))
        }
        Edit::ReplacePart { with: part, .. } | Edit::AddPart(part) => part.content.len(),
        Edit::ReplaceContent { body, .. } => body.len(),
        _ => 0,
    }
}

/// Removing the last recipient would make the message vanish, which only `discard` may say.
fn recipients_remain(message: &ParsedMessage, edits: &[Edit]) -> Result<(), (usize, String)> {
    let touched = |edit: &Edit| matches!(edit, Edit::RemoveRecipient(_) | Edit::AddRecipient(_));
    let Some(place) = edits.iter().rposition(touched) else { return Ok(()) };
    match envelope::edited(&message.envelope, edits).recipients.len() {
        0 => Err((place, "the last recipient can not be removed; discard the message instead".to_owned())),
        count if count > MAX_RECIPIENTS => Err((place, format!("more than {MAX_RECIPIENTS} recipients"))),
        _ => Ok(()),
    }
}
