//! What a stage may reach: the `grants = […]` of its configuration. None by default.

use crate::apply::EditGrants;
use std::collections::BTreeSet;

/// Everything that is granted to a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// `body`: reading the content (interfaces `parts`, `raw`) and editing it.
    pub body: bool,
    /// `recipients`: changing sender and recipients.
    pub recipients: bool,
    /// `set-client`: setting the client for later stages.
    pub set_client: bool,
    /// `clock`: the time of day.
    pub clock: bool,
    /// `random`: randomness.
    pub random: bool,
    /// `service:NAME`: network services by name.
    pub services: BTreeSet<String>,
}

impl Grants {
    /// What can be granted, for messages to people.
    pub const KNOWN: &str = "body, recipients, set-client, clock, random, service:NAME";

    /// Adds the grant that `text` names.
    ///
    /// # Errors
    /// When there is no such grant; says which there are.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match text {
            "body" => self.body = true,
            "recipients" => self.recipients = true,
            "set-client" => self.set_client = true,
            "clock" => self.clock = true,
            "random" => self.random = true,
            _ => match text.strip_prefix("service:") {
                Some(name) if !name.is_empty() => {
                    self.services.insert(name.to_owned());
                }
                _ => return Err(format!("no such grant {text:?}; there are {}", Self::KNOWN)),
            },
        }
        Ok(())
    }

    /// All that is granted, as the configuration names it, in the order of [`Self::KNOWN`].
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let plain = [
            (self.body, "body"),
            (self.recipients, "recipients"),
            (self.set_client, "set-client"),
            (self.clock, "clock"),
            (self.random, "random"),
        ];
        let plain = plain.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name.to_owned());
        plain.chain(self.services.iter().map(|name| format!("service:{name}"))).collect()
    }

    /// Which edits these grants allow.
    #[must_use]
    pub fn edits(&self) -> EditGrants {
        EditGrants { body: self.body, recipients: self.recipients, set_client: self.set_client }
    }
}
