//! The SMTP envelope (RFC 5321 §2.3.1).

use serde::Serialize;

/// Sender and recipients of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM.
    pub sender: Mailbox,
    /// RCPT TO, in order; those that were accepted as far as the host knows.
    pub recipients: Vec<Mailbox>,
    /// The MTA's queue id, once it has one.
    pub queue_id: Option<String>,
}

/// An address as the client gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mailbox {
    /// Exactly as received: `<a@x>`, `a@x`, `<@h1,@h2:a@x>`, `<>`, or empty. An MTA that is asked to remove a
    /// recipient wants these bytes back.
    pub raw: String,
    /// ESMTP arguments such as `SIZE=1000`.
    pub arguments: Vec<String>,
}

impl Mailbox {
    /// A mailbox from the text of a command, with no arguments.
    #[must_use]
    pub fn new(raw: impl Into<String>) -> Self {
        Self { raw: raw.into(), arguments: Vec::new() }
    }

    /// The address without angle brackets and source route; empty for the null sender.
    #[must_use]
    pub fn address(&self) -> &str {
        let inner = self.raw.trim();
        let inner = inner.strip_prefix('<').unwrap_or(inner);
        let inner = inner.strip_suffix('>').unwrap_or(inner);
        // A source route (RFC 5321 appendix C): "@h1,@h2:a@x".
        match inner.strip_prefix('@').and_then(|route| route.split_once(':')) {
            Some((_, address)) => address,
            None => inner,
        }
    }

    /// The part before the last `@`, quotes included.
    #[must_use]
    pub fn local(&self) -> &str {
        let address = self.address();
        address.rsplit_once('@').map_or(address, |(local, _)| local)
    }

    /// The part after the last `@`, in lower case; empty when there is none.
    #[must_use]
    pub fn domain(&self) -> String {
        self.address().rsplit_once('@').map_or_else(String::new, |(_, domain)| domain.to_ascii_lowercase())
    }

    /// Whether two mailboxes name the same address: the domain without case, the local part to the letter.
    #[must_use]
    pub fn same_address(&self, other: &Self) -> bool {
        self.local() == other.local() && self.domain() == other.domain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form_an_mta_sends() {
        for (raw, address, local, domain) in [
            ("<a@X.Example>", "a@X.Example", "a", "x.example"),
            ("a@x", "a@x", "a", "x"),
            ("<@h1,@h2:a@x>", "a@x", "a", "x"),
            ("<>", "", "", ""),
            ("", "", "", ""),
            ("<\"a@b\"@x>", "\"a@b\"@x", "\"a@b\"", "x"),
            ("<postmaster>", "postmaster", "postmaster", ""),
        ] {
            let mailbox = Mailbox::new(raw);
            assert_eq!(
                (mailbox.address(), mailbox.local(), mailbox.domain().as_str()),
                (address, local, domain),
                "{raw}"
            );
        }
    }
}
