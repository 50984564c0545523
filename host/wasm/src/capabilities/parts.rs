//! `parts`: the MIME tree and the content of its parts. Linked with the grant `text` or `attachments`; which content can
//! be read depends on which of them.

use crate::{
    bindings::wasmilter::policy::{
        parts::{self, PartKind, PartRole},
        types::HeaderField,
    },
    call::Call,
    capabilities::{READ_AT_ONCE, headers::field},
    failure::Stop,
};
use std::sync::Arc;
use wasmilter_message::{
    grants::PartGrant,
    message::ParsedMessage,
    mime::{Kind, Part, Role, Tree},
};

/// More than this is parsed, decoded or converted off the thread, which has other sessions to serve. In bytes; less
/// takes less than a millisecond.
const BLOCKING: usize = 256 << 10;

impl parts::Host for Call {
    async fn all(&mut self) -> wasmtime::Result<Vec<parts::Part>> {
        self.charge()?;
        self.parse().await?;
        let tree = self.message.tree();
        Ok(tree.parts().iter().map(|part| seen(tree, part)).collect())
    }

    async fn header_fields(&mut self, part: u32) -> wasmtime::Result<Vec<HeaderField>> {
        self.known(part).await?;
        if part == 0 && !self.stage.grants.headers {
            return Err(Stop::Ungranted { what: "reading the message's header fields", grant: "headers" }.into());
        }
        if part != 0 {
            self.granted(part)?;
        }
        Ok(self.message.part_fields(part).iter().map(field).collect())
    }

    async fn size(&mut self, part: u32) -> wasmtime::Result<u32> {
        self.known(part).await?;
        self.granted(part)?;
        self.decode(part).await?;
        Ok(u32::try_from(self.message.decoded(part).len()).unwrap_or(u32::MAX))
    }

    async fn read(&mut self, part: u32, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.known(part).await?;
        self.granted(part)?;
        self.decode(part).await?;
        let content = self.message.decoded(part);
        let start = usize::try_from(offset)?.min(content.len());
        let rest = content.get(start..).unwrap_or_default();
        let length = usize::try_from(length.min(READ_AT_ONCE))?;
        Ok(rest.get(..length).unwrap_or(rest).to_vec())
    }

    async fn text(&mut self, part: u32, limit: u32) -> wasmtime::Result<String> {
        self.known(part).await?;
        self.granted(part)?;
        self.decode(part).await?;
        // More than its memory can not be handed over.
        let limit = u64::from(limit).min(self.stage.limits.memory);
        let limit = usize::try_from(limit)?;
        if limit.min(self.message.decoded(part).len()) > BLOCKING {
            return self.elsewhere(move |message| message.part_text(part, limit)).await;
        }
        Ok(self.message.part_text(part, limit))
    }

    async fn read_entity(&mut self, part: u32, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.known(part).await?;
        if !self.stage.grants.raw {
            return Err(Stop::Ungranted { what: "read-entity", grant: "raw" }.into());
        }
        Ok(self.message.entity_read(part, u64::from(offset), usize::try_from(length.min(READ_AT_ONCE))?))
    }
}

impl Call {
    /// Charges for a call about a part, which must exist.
    pub(super) async fn known(&mut self, part: u32) -> wasmtime::Result<()> {
        self.charge()?;
        self.parse().await?;
        match self.message.tree().part(part) {
            Some(_) => Ok(()),
            None => Err(Stop::Misuse(format!("there is no part {part}")).into()),
        }
    }

    /// Whether the stage was granted parts of this kind; the tree is at hand.
    fn granted(&self, id: u32) -> Result<(), Stop> {
        let tree = self.message.tree();
        let (text, attachments) = (self.stage.grants.text, self.stage.grants.attachments);
        match tree.part(id).and_then(|part| PartGrant::of(tree, part)) {
            Some(PartGrant::Text) if !text => Err(Stop::Ungranted { what: "reading the text", grant: "text" }),
            Some(PartGrant::Attachments) if !attachments => {
                Err(Stop::Ungranted { what: "reading an attachment", grant: "attachments" })
            }
            _ => Ok(()),
        }
    }

    /// Has the tree at hand.
    async fn parse(&mut self) -> wasmtime::Result<()> {
        if self.message.body.len() > BLOCKING && !self.message.is_parsed() {
            self.elsewhere(|message| _ = message.tree()).await?;
        }
        Ok(())
    }

    /// Has the content of a part at hand.
    async fn decode(&mut self, part: u32) -> wasmtime::Result<()> {
        let tree = self.message.tree();
        let big = tree.part(part).is_some_and(|part| part.encoded_size() > BLOCKING);
        if big && !tree.is_decoded(part) {
            self.elsewhere(move |message| drop(message.decoded(part))).await?;
        }
        Ok(())
    }

    /// Does something with the message on a thread where it disturbs nobody. When the deadline passes meanwhile, the
    /// call ends; the work, whose bound is the size of the message, is finished for nobody.
    async fn elsewhere<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&ParsedMessage) -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        let message = Arc::clone(&self.message);
        match tokio::task::spawn_blocking(move || work(&message)).await {
            Ok(done) => Ok(done),
            Err(lost) => match lost.try_into_panic() {
                // On to the one place that turns panics into an answer.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(wasmtime::Error::msg("the host is shutting down")),
            },
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
