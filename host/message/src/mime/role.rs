//! What a part is to the reader.

use super::{Defect, Kind, Part, Role, encoding};

/// Gives every part its role, from the root down.
pub(super) fn assign(parts: &mut [Part], body: &[u8]) {
    // What the parts below a part inherit, by id. Parents stand before their children.
    let mut inherited: Vec<Inherited> = Vec::with_capacity(parts.len());
    let mut first_child_seen = vec![false; parts.len()];
    for place in 0..parts.len() {
        let Some(part) = parts.get(place) else { return };
        let parent_place = usize::try_from(part.parent).unwrap_or_default();
        let root = place == 0;
        let mut from =
            if root { Inherited::default() } else { inherited.get(parent_place).copied().unwrap_or_default() };
        let first = !root && !first_child_seen.get(parent_place).copied().unwrap_or_default();
        if let Some(seen) = first_child_seen.get_mut(parent_place).filter(|_| !root) {
            *seen = true;
        }
        if !root
            && let Some(parent) = parts.get(parent_place)
            && !first_is_shown(parent, part, first)
        {
            from.attached = true;
        }
        let (role, below) = role_of(part, from, body, root);
        inherited.push(below);
        if let Some(part) = parts.get_mut(place) {
            part.role = role;
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Inherited {
    /// The role of an enclosing signed or encrypted structure.
    protected: Option<Role>,
    /// Inside something that is not the message's own text.
    attached: bool,
}

/// Whether a child of `parent` may be the message's text: of a related or report structure only the first part
/// (RFC 2387: the one named by `start`), of every other all.
fn first_is_shown(parent: &Part, child: &Part, first: bool) -> bool {
    match parent.media_type.as_str() {
        "multipart/related" if !parent.parameters.start.is_empty() => {
            first || parent.parameters.start == child.content_id
        }
        "multipart/related" | "multipart/report" => first,
        "multipart/appledouble" | "multipart/digest" | "multipart/x-mixed-replace" => false,
        _ => true,
    }
}

fn role_of(part: &Part, from: Inherited, body: &[u8], root: bool) -> (Role, Inherited) {
    let own = protection(part, body);
    // The outermost protection decides: nothing inside it can be changed.
    let protected = from.protected.or(own);
    let attached = from.attached || part.kind == Kind::Message || part.disposition == "attachment";
    let below = Inherited { protected, attached };
    let role = match (protected, part.kind) {
        (Some(role), _) => role,
        (None, Kind::Multipart) => Role::Container,
        (None, Kind::Message) => Role::Attachment,
        (None, Kind::Leaf) if attached || !is_readable_type(&part.media_type) => Role::Attachment,
        // Two delimiter lines in a row, which some programs take for one, leave nothing to read.
        (None, Kind::Leaf) if part.entity.is_empty() && part.opened_at.is_some() => Role::Attachment,
        // What says base64 and not what it is, is not what somebody wrote to be read.
        (None, Kind::Leaf)
            if part.defects.contains(&Defect::InvalidContentType)
                && part.transfer_encoding() == encoding::Encoding::Base64 =>
        {
            Role::Attachment
        }
        // Named text is a file, unless it is all that the message has.
        (None, Kind::Leaf) if !part.file_name.is_empty() && !root => Role::Attachment,
        (None, Kind::Leaf) => match inline_pgp(part, body) {
            Some(role) => role,
            None => Role::Body,
        },
    };
    (role, below)
}

fn is_readable_type(media_type: &str) -> bool {
    matches!(
        media_type,
        "text/plain"
            | "text/html"
            | "text/enriched"
            | "text/richtext"
            | "text/markdown"
            | "text/x-amp-html"
            | "text/watch-html"
    )
}

/// The role of a structure that is signed or encrypted as a whole.
fn protection(part: &Part, body: &[u8]) -> Option<Role> {
    match part.media_type.as_str() {
        "multipart/signed" => Some(Role::Signed),
        "multipart/encrypted" => Some(Role::Encrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => pkcs7(part, body),
        "application/octet-stream" if ends_with_p7m(&part.file_name) => pkcs7(part, body),
        _ => None,
    }
}

fn ends_with_p7m(file_name: &str) -> bool {
    let name = file_name.as_bytes();
    name.len() >= 4 && name.get(name.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case(b".p7m"))
}

/// S/MIME (RFC 8551 §3.2): by the parameter, without it by the content's own type, which stands in its first bytes.
fn pkcs7(part: &Part, body: &[u8]) -> Option<Role> {
    match part.parameters.smime_type.as_str() {
        "signed-data" => return Some(Role::Signed),
        "enveloped-data" | "authenveloped-data" => return Some(Role::Encrypted),
        "certs-only" | "compressed-data" => return None,
        _ => {}
    }
    // 1.2.840.113549.1.7.2 (signed-data); 1.2.840.113549.1.9.16.1.9 (compressed-data).
    const SIGNED: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    const COMPRESSED: &[u8] = &[0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x09];
    let head = decoded_head(part, body);
    let contains = |oid| memchr::memmem::find(&head, oid).is_some();
    if contains(SIGNED) {
        Some(Role::Signed)
    } else if contains(COMPRESSED) {
        None
    } else {
        Some(Role::Encrypted)
    }
}

/// Text that begins with an OpenPGP armour (RFC 9580 §6.2, §7).
fn inline_pgp(part: &Part, body: &[u8]) -> Option<Role> {
    let head = decoded_head(part, body);
    let text = head.trim_ascii_start();
    if text.starts_with(b"-----BEGIN PGP MESSAGE") {
        Some(Role::Encrypted)
    } else if text.starts_with(b"-----BEGIN PGP SIGNED MESSAGE") {
        Some(Role::Signed)
    } else {
        None
    }
}

/// The first bytes of a part's content, decoded.
fn decoded_head(part: &Part, body: &[u8]) -> Vec<u8> {
    const ENOUGH: usize = 256;
    let content = body.get(part.content.clone()).unwrap_or_default();
    let head = content.get(..ENOUGH).unwrap_or(content);
    match part.transfer_encoding() {
        encoding::Encoding::Identity { .. } => head.to_vec(),
        encoding::Encoding::Base64 => encoding::decode_base64(head).0,
        encoding::Encoding::QuotedPrintable => encoding::decode_quoted_printable(head).0,
    }
}
