//! Edits of the envelope and of the client.

use crate::{
    client::Client,
    decision::{Edit, NewAddress},
    envelope::{Envelope, Mailbox},
    message::ParsedMessage,
};
use std::sync::Arc;

/// The envelope after the edits.
pub(super) fn edited(envelope: &Envelope, edits: &[Edit]) -> Envelope {
    let mut envelope = envelope.clone();
    for edit in edits {
        match edit {
            Edit::SetSender(new) => envelope.sender = mailbox(new),
            Edit::AddRecipient(new) => {
                let new = mailbox(new);
                if !envelope.recipients.iter().any(|known| known.same_address(&new)) {
                    envelope.recipients.push(new);
                }
            }
            Edit::RemoveRecipient(address) => envelope.recipients.retain(|known| !is_named(known, address)),
            _ => {}
        }
    }
    envelope
}

/// Whether `address` is how plugins see that recipient.
pub(super) fn is_named(recipient: &Mailbox, address: &str) -> bool {
    recipient.address() == address || recipient.same_address(&Mailbox::new(address))
}

/// Sets the client for later stages. What SMTP AUTH and TLS said is about the connected host, not about the client
/// behind it.
pub(super) fn set_client(message: &mut ParsedMessage, edits: &[Edit]) {
    for edit in edits {
        if let Edit::SetClient(new) = edit {
            message.client = Arc::new(Client {
                address: Some(new.address),
                port: new.port,
                hostname: new.hostname.clone(),
                helo: new.helo.clone(),
                listener: message.connected.listener.clone(),
                ..Client::default()
            });
        }
    }
}

fn mailbox(new: &NewAddress) -> Mailbox {
    Mailbox { raw: format!("<{}>", new.address), arguments: new.arguments.clone() }
}
