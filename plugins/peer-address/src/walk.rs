//! From the connected host over Received fields to the first host that is not trusted.
//!
//! The field on top was written by the connected host; if that is trusted, the field is true and names the next host; if
//! that one is trusted too, it wrote the next field; and so on. Below the field that names the first untrusted host,
//! everything may be that host's invention, and nothing of it is looked at.

use crate::received::{self, Line, Peer};
use ipnet::IpNet;
use std::{borrow::Borrow, net::IpAddr};
use wasmilter_sdk::RawHeaderField;

/// Whose word is believed.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) networks: Vec<IpNet>,
    /// Lower case; one that begins with a dot stands for everything below it.
    pub(crate) hosts: Vec<String>,
    pub(crate) max_hops: u32,
    /// Fields in which the connected host tells the client's address.
    pub(crate) headers: Vec<String>,
}

/// How the walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The connected host is not trusted: it is the client.
    Direct,
    /// A host that is not trusted was found.
    Received,
    /// A field of the connected host told the address.
    Header,
    /// A Received field was not understood; the last host before it counts.
    Unclear,
    /// The message was made on the last host.
    Local,
    /// No more Received fields: the last host counts.
    End,
    /// As many hops as the configuration allows.
    MaxHops,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Received => "received",
            Self::Header => "header",
            Self::Unclear => "unclear",
            Self::Local => "local",
            Self::End => "end",
            Self::MaxHops => "max_hops",
        }
    }
}

/// What the walk found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) peer: Peer,
    /// Trusted hosts passed.
    pub(crate) hops: u32,
    pub(crate) reason: Reason,
    /// How many fields of the message, from the top, were written by trusted hosts.
    pub(crate) believed: usize,
}

impl Trust {
    /// Finds the client behind `connected`.
    pub(crate) fn walk(&self, connected: Peer, fields: &[impl Borrow<RawHeaderField>]) -> Found {
        let fields: Vec<&RawHeaderField> = fields.iter().map(Borrow::borrow).collect();
        let mut found = Found { peer: connected, hops: 0, reason: Reason::Direct, believed: 0 };
        if !self.trusts(&found.peer) {
            return found;
        }
        if let Some((believed, peer)) = self.told_by_header(&fields) {
            return Found { peer, hops: 1, reason: Reason::Header, believed };
        }
        found.reason = Reason::End;
        let mut noted = false;
        for (at, field) in fields.iter().enumerate().filter(|(_, field)| is(field, "Received")) {
            if found.hops >= self.max_hops {
                found.reason = Reason::MaxHops;
                break;
            }
            match received::read(&field.value) {
                Line::From(peer) => {
                    noted = false;
                    found.peer = peer;
                    found.hops = found.hops.saturating_add(1);
                    found.believed = at.saturating_add(1);
                    if !self.trusts(&found.peer) {
                        found.reason = Reason::Received;
                        break;
                    }
                }
                // One for each hop: the host's own field comes next.
                Line::Note if !noted => noted = true,
                Line::Local => {
                    found.reason = Reason::Local;
                    break;
                }
                Line::Note | Line::Unclear => {
                    found.reason = Reason::Unclear;
                    break;
                }
            }
        }
        found
    }

    fn trusts(&self, peer: &Peer) -> bool {
        self.networks.iter().any(|network| network.contains(&peer.address)) || self.trusts_name(&peer.hostname)
    }

    fn trusts_name(&self, hostname: &str) -> bool {
        let hostname = hostname.strip_suffix('.').unwrap_or(hostname).to_ascii_lowercase();
        !hostname.is_empty()
            && self
                .hosts
                .iter()
                .any(|host| if host.starts_with('.') { hostname.ends_with(host.as_str()) } else { hostname == *host })
    }

    /// The address in one of the configured fields, and the number of fields down to the first Received. Only above that
    /// one can a field be the connected host's: what came in from elsewhere is below it.
    fn told_by_header(&self, fields: &[&RawHeaderField]) -> Option<(usize, Peer)> {
        let first_received = fields.iter().position(|field| is(field, "Received"))?;
        let own = fields.get(..first_received)?;
        self.headers.iter().find_map(|name| {
            let field = own.iter().find(|field| is(field, name))?;
            let text = std::str::from_utf8(&field.value).ok()?.trim();
            let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let address: IpAddr = text.parse().ok()?;
            let peer = Peer { address: address.to_canonical(), port: 0, hostname: String::new(), helo: String::new() };
            Some((first_received.saturating_add(1), peer))
        })
    }
}

fn is(field: &RawHeaderField, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}
