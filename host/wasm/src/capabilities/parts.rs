//! `parts`: the MIME tree and the content of its parts.

use crate::{
    bindings::wasmilter::policy::{
        parts::{self, PartKind, PartRole},
        types::HeaderField,
    },
    call::Call,
    capabilities::{READ_AT_ONCE, headers::field},
    failure::Stop,
};
use wasmilter_message::mime::{Kind, Part, Role, Tree};

impl parts::Host for Call {
    fn all(&mut self) -> wasmtime::Result<Vec<parts::Part>> {
        self.charge()?;
        let tree = self.message.tree();
        Ok(tree.parts().iter().map(|part| seen(tree, part)).collect())
    }

    fn header_fields(&mut self, part: u32) -> wasmtime::Result<Vec<HeaderField>> {
        self.known(part)?;
        Ok(self.message.part_fields(part).iter().map(field).collect())
    }

    fn size(&mut self, part: u32) -> wasmtime::Result<u32> {
        self.known(part)?;
        Ok(u32::try_from(self.message.decoded(part).len()).unwrap_or(u32::MAX))
    }

    fn read(&mut self, part: u32, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.known(part)?;
        let content = self.message.decoded(part);
        let start = usize::try_from(offset)?.min(content.len());
        let rest = content.get(start..).unwrap_or_default();
        let length = usize::try_from(length.min(READ_AT_ONCE))?;
        Ok(rest.get(..length).unwrap_or(rest).to_vec())
    }

    fn text(&mut self, part: u32, limit: u32) -> wasmtime::Result<String> {
        self.known(part)?;
        Ok(self.message.part_text(part, usize::try_from(limit)?))
    }

    fn read_entity(&mut self, part: u32, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.known(part)?;
        Ok(self.message.entity_read(part, u64::from(offset), usize::try_from(length.min(READ_AT_ONCE))?))
    }
}

impl Call {
    /// Charges for a call about a part, which must exist.
    pub(super) fn known(&mut self, part: u32) -> wasmtime::Result<()> {
        self.charge()?;
        match self.message.tree().part(part) {
            Some(_) => Ok(()),
            None => Err(Stop::Misuse(format!("there is no part {part}")).into()),
        }
    }
}

fn seen(tree: &Tree, part: &Part) -> parts::Part {
    parts::Part {
        id: part.id,
        parent: part.parent,
        kind: match part.kind {
            Kind::Leaf => PartKind::Leaf,
            Kind::Multipart => PartKind::Multipart,
            Kind::Message => PartKind::Message,
        },
        role: match part.role {
            Role::Body => PartRole::Body,
            Role::Attachment => PartRole::Attachment,
            Role::Signed => PartRole::Signed,
            Role::Encrypted => PartRole::Encrypted,
            Role::Container => PartRole::Container,
        },
        media_type: part.media_type.clone(),
        charset: part.charset.clone(),
        encoding: part.encoding.clone(),
        disposition: part.disposition.clone(),
        file_name: part.file_name.clone(),
        content_id: part.content_id.clone(),
        encoded_size: u32::try_from(part.encoded_size()).unwrap_or(u32::MAX),
        defects: tree.defects(part.id).into_iter().map(|defect| defect.name().to_owned()).collect(),
    }
}
