//! What a stage may reach: the `grants = […]` of its configuration. None by default.

use crate::{
    apply::EditGrants,
    mime::{Kind, Part, Role, Tree},
};
use std::collections::BTreeSet;

/// Everything that is granted to a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// `envelope`: sender, recipients, queue id.
    pub envelope: bool,
    /// `headers`: the message's header fields, and edits of them.
    pub headers: bool,
    /// `text`: parts that are shown as text, and edits of them.
    pub text: bool,
    /// `attachments`: all other parts, and edits of them.
    pub attachments: bool,
    /// `raw`: the message as bytes, entities, and replacing the whole content.
    pub raw: bool,
    /// `recipients`: changing sender and recipients.
    pub recipients: bool,
    /// `set-client`: setting the client for later stages.
    pub set_client: bool,
    /// `service:NAME`: network services by name.
    pub services: BTreeSet<String>,
    /// `dns`: the domain name system.
    pub dns: bool,
    /// `store`, `store:NAME`: what is remembered from message to message.
    pub store: Option<StoreGrant>,
    /// `clock`: the time of day.
    pub clock: bool,
    /// `random`: randomness.
    pub random: bool,
}

/// Which store a stage was granted. It has one: the interface does not name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreGrant {
    /// `store`: one of its own.
    Own,
    /// `store:NAME`: the one that all stages with this grant share.
    Shared(String),
}

impl Grants {
    /// What can be granted, for messages to people. `body` stands for `text`, `attachments` and `raw`.
    pub const KNOWN: &str = "envelope, headers, text, attachments, raw, body, recipients, set-client, service:NAME, \
                             dns, store, store:NAME, clock, random";

    /// Adds the grant that `text` names.
    ///
    /// # Errors
    /// When there is no such grant, and says which there are; and at a second store.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match text {
            "envelope" => self.envelope = true,
            "headers" => self.headers = true,
            "text" => self.text = true,
            "attachments" => self.attachments = true,
            "raw" => self.raw = true,
            "body" => (self.text, self.attachments, self.raw) = (true, true, true),
            "recipients" => self.recipients = true,
            "set-client" => self.set_client = true,
            "dns" => self.dns = true,
            "store" => self.add_store(StoreGrant::Own)?,
            "clock" => self.clock = true,
            "random" => self.random = true,
            _ => match text.split_once(':') {
                Some(("service", name)) if !name.is_empty() => {
                    self.services.insert(name.to_owned());
                }
                Some(("store", name)) if is_store_name(name) => self.add_store(StoreGrant::Shared(name.to_owned()))?,
                Some(("store", _)) => {
                    return Err(format!(
                        "the name of a store has 1 to 64 lower case letters, digits, '-' and '_'; {text:?} has not"
                    ));
                }
                _ => return Err(format!("no such grant {text:?}; there are {}", Self::KNOWN)),
            },
        }
        Ok(())
    }

    fn add_store(&mut self, store: StoreGrant) -> Result<(), String> {
        match &self.store {
            Some(other) if *other != store => {
                Err(format!("a stage has one store: {:?} or {:?}", other.name(), store.name()))
            }
            _ => {
                self.store = Some(store);
                Ok(())
            }
        }
    }

    /// All that is granted, as the configuration names it, in the order of [`Self::KNOWN`]; `body` as the three that it
    /// stands for.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let plain = |grants: &[(bool, &str)]| {
            grants.iter().filter(|(granted, _)| *granted).map(|(_, name)| (*name).to_owned()).collect::<Vec<_>>()
        };
        let mut names = plain(&[
            (self.envelope, "envelope"),
            (self.headers, "headers"),
            (self.text, "text"),
            (self.attachments, "attachments"),
            (self.raw, "raw"),
            (self.recipients, "recipients"),
            (self.set_client, "set-client"),
        ]);
        names.extend(self.services.iter().map(|name| format!("service:{name}")));
        names.extend(plain(&[(self.dns, "dns")]));
        names.extend(self.store.iter().map(StoreGrant::name));
        names.extend(plain(&[(self.clock, "clock"), (self.random, "random")]));
        names
    }

    /// Whether the MIME tree can be looked at.
    #[must_use]
    pub fn parts(&self) -> bool {
        self.text || self.attachments
    }

    /// Whether any of the content can be read or changed.
    #[must_use]
    pub fn content(&self) -> bool {
        self.parts() || self.raw
    }

    /// Which edits these grants allow.
    #[must_use]
    pub fn edits(&self) -> EditGrants {
        EditGrants {
            headers: self.headers,
            text: self.text,
            attachments: self.attachments,
            raw: self.raw,
            recipients: self.recipients,
            set_client: self.set_client,
        }
    }
}

impl StoreGrant {
    /// As the configuration names it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Own => "store".to_owned(),
            Self::Shared(name) => format!("store:{name}"),
        }
    }

    /// The space of the store that it opens to a stage (see [`crate::store::Store`]).
    #[must_use]
    pub fn space(&self, stage: &str) -> String {
        match self {
            Self::Own => stage.to_owned(),
            Self::Shared(name) => format!(":{name}"),
        }
    }
}

/// Kinds of part that are granted by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartGrant {
    /// Shown as the message's text. Grant `text`.
    Text,
    /// Everything else. Grant `attachments`.
    Attachments,
}

impl PartGrant {
    /// What reading or changing a part needs; None for a multipart of the message's own, which is only a frame around
    /// others. The header of an enclosed message belongs to the attachment.
    #[must_use]
    pub fn of(tree: &Tree, part: &Part) -> Option<Self> {
        let enclosed = || tree.part(part.parent).is_some_and(|parent| parent.kind == Kind::Message);
        match (part.kind, part.role) {
            (_, Role::Body) => Some(Self::Text),
            (Kind::Multipart, Role::Container) if part.id == 0 || !enclosed() => None,
            _ => Some(Self::Attachments),
        }
    }

    /// The grant's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Attachments => "attachments",
        }
    }
}

fn is_store_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(names: &[&str]) -> Result<Grants, String> {
        let mut grants = Grants::default();
        names.iter().try_for_each(|name| grants.add(name)).map(|()| grants)
    }

    #[test]
    fn every_known_grant_can_be_given_and_names_itself() {
        for known in Grants::KNOWN.split(", ") {
            let name = known.replace("NAME", "name");
            let names = granted(&[&name]).unwrap().names();
            match known {
                "body" => assert_eq!(names, ["text", "attachments", "raw"]),
                _ => assert_eq!(names, [name]),
            }
        }
        assert_eq!(granted(&["body"]), granted(&["raw", "attachments", "text"]));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for wrong in ["", "Body", "service", "service:", "store:", "store:A", "store: x", "file:x", "dns:x"] {
            let error = granted(&[wrong]).unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn a_stage_has_one_store_and_its_space_can_not_be_that_of_another() {
        assert_eq!(granted(&["store", "store:a"]).unwrap_err(), "a stage has one store: \"store\" or \"store:a\"");
        let shared = granted(&["store:a", "store:a"]).unwrap().store.unwrap();
        assert_eq!(shared.space("stage"), ":a");
        assert_eq!(granted(&["store"]).unwrap().store.unwrap().space("stage"), "stage");
    }
}
