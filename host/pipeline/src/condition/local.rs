//! What belongs to this site, and with that which way a message goes.

use super::network::Network;
use wasmilter_message::message::ParsedMessage;

/// Domains and networks of this site: `[local]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// In lower case.
    domains: Vec<String>,
    networks: Vec<Network>,
}

/// Which way a message goes, seen from this site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From outside. The recipients are ours, or else the mail server would not take it.
    Inbound,
    /// From inside, and not to us alone.
    Outbound,
    /// From inside, and to nobody but us.
    Internal,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Internal];

    /// Its name in conditions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
        }
    }
}

impl Local {
    /// Adds a domain: `example.org`, or `.example.org` for every domain below it.
    ///
    /// # Errors
    /// What is wrong with it, as "must be …, is …".
    pub fn add_domain(&mut self, domain: &str) -> Result<(), String> {
        let labels = domain.strip_prefix('.').unwrap_or(domain);
        let is_label =
            |label: &str| !label.is_empty() && !label.contains(|c: char| c.is_whitespace() || "@<>*".contains(c));
        if !labels.split('.').all(is_label) {
            return Err(format!(
                "must be a domain such as \"example.org\", or \".example.org\" for all below it, is {domain:?}"
            ));
        }
        self.domains.push(domain.to_ascii_lowercase());
        Ok(())
    }

    /// Adds a network.
    ///
    /// # Errors
    /// What is wrong with it, as "must be …, is …".
    pub fn add_network(&mut self, network: &str) -> Result<(), String> {
        let parsed = Network::parse(network);
        let parsed = parsed
            .ok_or_else(|| format!("must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", is {network:?}"))?;
        self.networks.push(parsed);
        Ok(())
    }

    /// Which way the message goes. From inside comes what an authenticated client sends, one in our networks, or one
    /// without an address: a program on the mail server itself.
    #[must_use]
    pub fn direction(&self, message: &ParsedMessage) -> Direction {
        let client = &message.client;
        let ours = |address| self.networks.iter().any(|network| network.contains(address));
        if client.auth.is_none() && !client.address.is_none_or(ours) {
            return Direction::Inbound;
        }
        let recipients = &message.envelope.recipients;
        let stays = !recipients.is_empty() && recipients.iter().all(|recipient| self.has(&recipient.domain()));
        if stays { Direction::Internal } else { Direction::Outbound }
    }

    /// An address without a domain is one of the mail server's own.
    fn has(&self, domain: &str) -> bool {
        domain.is_empty()
            || self.domains.iter().any(|own| match own.strip_prefix('.') {
                Some(parent) => domain.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
                None => own == domain,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wasmilter_message::{
        client::{Authentication, Client},
        envelope::{Envelope, Mailbox},
        message::Transaction,
    };

    #[test]
    fn which_way_it_goes() {
        let mut local = Local::default();
        for domain in ["Example.org", ".example.com"] {
            local.add_domain(domain).expect(domain);
        }
        local.add_network("10.0.0.0/8").expect("a network");
        let (inside, outside) = (Some("10.1.2.3"), Some("192.0.2.1"));
        for (address, user, recipients, direction) in [
            (outside, None, &["a@example.org"][..], Direction::Inbound),
            (outside, None, &["a@elsewhere.net"], Direction::Inbound),
            (outside, Some("anna"), &["a@elsewhere.net"], Direction::Outbound),
            (outside, Some("anna"), &["a@EXAMPLE.org", "b@sub.example.com", "c@a.b.example.com"], Direction::Internal),
            (inside, None, &["a@example.org"], Direction::Internal),
            (inside, None, &["a@example.org", "b@elsewhere.net"], Direction::Outbound),
            (inside, None, &["a@example.com"], Direction::Outbound),
            (inside, None, &["a@notexample.org"], Direction::Outbound),
            (inside, None, &["a@sub.example.org"], Direction::Outbound),
            (None, None, &["root"], Direction::Internal),
            (None, None, &[], Direction::Outbound),
        ] {
            let client = Client {
                address: address.map(|address| address.parse().expect("an address")),
                auth: user.map(|user: &str| Authentication { user: user.to_owned(), mechanism: "PLAIN".to_owned() }),
                ..Client::default()
            };
            let recipients: Vec<_> = recipients.iter().map(|address| Mailbox::new(format!("<{address}>"))).collect();
            let envelope = Envelope { recipients, ..Envelope::default() };
            let message = ParsedMessage::without_content(Transaction {
                connected: Arc::new(client),
                envelope,
                ..Transaction::default()
            });
            assert_eq!(local.direction(&message), direction, "{address:?} {user:?} {:?}", message.envelope.recipients);
        }
    }

    #[test]
    fn what_is_no_domain_and_no_network() {
        let mut local = Local::default();
        for wrong in ["", ".", "a..b", "anna@example.org", "*.example.org", "exa mple.org"] {
            assert!(local.add_domain(wrong).is_err_and(|error| error.starts_with("must be a domain")), "{wrong}");
        }
        assert!(local.add_network("10.0.0.0/33").is_err_and(|error| error.starts_with("must be a network")));
        assert_eq!(local, Local::default());
    }
}
