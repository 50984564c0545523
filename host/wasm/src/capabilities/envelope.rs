//! `envelope`: sender, recipients and queue id. Linked only with the grant `envelope`.

use crate::{
    bindings::wasmilter::policy::{envelope, types},
    call::Call,
};
use wasmilter_message::envelope::Mailbox;

impl envelope::Host for Call {
    fn sender(&mut self) -> wasmtime::Result<types::Mailbox> {
        self.charge()?;
        Ok(mailbox(&self.message.envelope.sender))
    }

    fn recipients(&mut self) -> wasmtime::Result<Vec<types::Mailbox>> {
        self.charge()?;
        Ok(self.message.envelope.recipients.iter().map(mailbox).collect())
    }

    fn queue_id(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        Ok(self.message.envelope.queue_id.clone().unwrap_or_default())
    }
}

/// A mailbox as guests see it.
pub(crate) fn mailbox(mailbox: &Mailbox) -> types::Mailbox {
    types::Mailbox {
        address: mailbox.address().to_owned(),
        local: mailbox.local().to_owned(),
        domain: mailbox.domain(),
        arguments: mailbox.arguments.clone(),
    }
}
