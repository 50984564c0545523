//! Addresses and clients that a plugin writes.

use crate::{
    Message, NewAddress, bindings::message::exports::wasmilter::policy::message_policy as contract, invalid::Invalid,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::{borrow::Cow, fmt, net::IpAddr};

/// The host takes no longer addresses, arguments and host names.
const LONGEST: usize = 512;
/// The host takes no more arguments of an address.
const MOST_ARGUMENTS: usize = 20;

/// An address such as `user@example.org`, fit for SMTP commands: no angle brackets, no control characters, spaces and commas
/// only in quotes. In a configuration it is a string.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// An address in US-ASCII.
    ///
    /// # Errors
    /// When it is no address.
    pub fn new(address: impl Into<String>) -> Result<Self, Invalid> {
        let address = address.into();
        if !address.is_ascii() {
            return Err(Invalid::new(format!("must be an address in US-ASCII, is {address:?}")));
        }
        checked(&address).map_err(|what| Invalid::new(format!("must be an address, is {address:?}: {what}")))?;
        Ok(Self(address))
    }

    /// An address that may have other letters, for a message whose transaction is SMTPUTF8 (RFC 6531). Asks for the sender,
    /// which needs the grant `envelope`.
    ///
    /// # Errors
    /// When it is no address, or has other letters and the transaction is not SMTPUTF8.
    pub fn international(address: impl Into<String>, message: &Message) -> Result<Self, Invalid> {
        let address = address.into();
        let allowed = address.is_ascii()
            || message.sender().arguments.iter().any(|argument| argument.eq_ignore_ascii_case("SMTPUTF8"));
        if !allowed {
            return Err(Invalid::new(format!("must be in US-ASCII outside SMTPUTF8, is {address:?}")));
        }
        checked(&address).map_err(|what| Invalid::new(format!("must be an address, is {address:?}: {what}")))?;
        Ok(Self(address))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = Invalid;

    fn try_from(address: String) -> Result<Self, Invalid> {
        Self::new(address)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for EmailAddress {
    fn schema_name() -> Cow<'static, str> {
        "EmailAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 512 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// What the host holds addresses to: one address to every MTA.
fn checked(address: &str) -> Result<(), &'static str> {
    if address.is_empty() || address.len() > LONGEST {
        return Err("it must have 1 to 512 bytes");
    }
    if address.starts_with('@') {
        return Err("it begins with a source route");
    }
    let mut quoted = false;
    let mut characters = address.chars();
    while let Some(character) = characters.next() {
        match character {
            control if control.is_control() => return Err("it has a control character"),
            '<' | '>' => return Err("it has an angle bracket"),
            '"' => quoted = !quoted,
            '\\' if quoted => match characters.next() {
                Some(escaped) if !escaped.is_control() && !matches!(escaped, '<' | '>') => {}
                _ => return Err("it has a bad escape"),
            },
            ' ' | ',' | ';' | '(' | ')' | '\\' if !quoted => return Err("it has punctuation outside quotes"),
            _ => {}
        }
    }
    if quoted { Err("it has a quote without end") } else { Ok(()) }
}

/// A sender or recipient to set: an address, or none (the null sender), with ESMTP arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    address: String,
    arguments: Vec<String>,
}

impl Destination {
    /// Adds an ESMTP argument such as `NOTIFY=NEVER`.
    ///
    /// # Errors
    /// When it is not 1 to 512 printable US-ASCII characters, or there are 20 already.
    pub fn with_argument(mut self, argument: impl Into<String>) -> Result<Self, Invalid> {
        let argument = argument.into();
        let valid = (1..=LONGEST).contains(&argument.len()) && argument.bytes().all(|byte| byte.is_ascii_graphic());
        if !valid {
            return Err(Invalid::new(format!("must be an ESMTP argument, is {argument:?}")));
        }
        if self.arguments.len() >= MOST_ARGUMENTS {
            return Err(Invalid::new(format!("must be at most {MOST_ARGUMENTS} ESMTP arguments")));
        }
        self.arguments.push(argument);
        Ok(self)
    }

    pub(crate) fn null() -> Self {
        Self { address: String::new(), arguments: Vec::new() }
    }

    pub(crate) fn into_contract(self) -> NewAddress {
        NewAddress { address: self.address, arguments: self.arguments }
    }
}

impl From<EmailAddress> for Destination {
    fn from(address: EmailAddress) -> Self {
        Self { address: address.0, arguments: Vec::new() }
    }
}

/// The client as found behind trusted relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    address: IpAddr,
    port: u16,
    hostname: String,
    helo: String,
}

impl NewClient {
    /// A client of which nothing but the address is known.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self { address, port: 0, hostname: String::new(), helo: String::new() }
    }

    /// Its port; 0: not known.
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Its host name; empty: not known. Control characters become spaces, what is beyond 512 bytes is cut off.
    #[must_use]
    pub fn with_hostname(mut self, hostname: &str) -> Self {
        self.hostname = crate::invalid::one_line(hostname, LONGEST);
        self
    }

    /// The name that it gave at HELO or EHLO, in the same way.
    #[must_use]
    pub fn with_helo(mut self, helo: &str) -> Self {
        self.helo = crate::invalid::one_line(helo, LONGEST);
        self
    }

    pub(crate) fn into_contract(self) -> contract::NewClient {
        contract::NewClient {
            address: self.address.to_string(),
            port: u32::from(self.port),
            hostname: self.hostname,
            helo: self.helo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_held_to_the_host_s_rules() {
        for good in ["a@example.org", "\"a b\"@example.org", "\"a\\\"b\"@x", "postmaster"] {
            assert!(EmailAddress::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b@x", "a@x>", "@relay:a@x", "\"a@x", "a@x\r\nDATA", "a,b@x", "é@x", "\"\\<\"@x"] {
            assert!(EmailAddress::new(bad).is_err(), "{bad}");
        }
        let address = Destination::from(EmailAddress::new("a@x").unwrap());
        assert!(address.clone().with_argument("NOTIFY=NEVER").is_ok());
        assert!(address.clone().with_argument("A B").is_err() && address.with_argument("").is_err());
    }

    #[test]
    fn international_addresses_need_an_international_transaction() {
        let plain = Message::parse(b"\n");
        assert!(EmailAddress::international("jörg@example.org", &plain).is_err());
        let utf8 = Message::parse(b"\n").with_sender_arguments(&["SMTPUTF8"]);
        assert!(EmailAddress::international("jörg@example.org", &utf8).is_ok());
        assert!(EmailAddress::international("jörg @example.org", &utf8).is_err());
    }
}
