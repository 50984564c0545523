//! Finds the client behind trusted relays and sets it for the stages that follow. See README.md for the configuration.
//!
//! `decide` tells the whole life; `walk` goes from hop to hop; `received` reads one Received field.

mod received;
mod walk;

use crate::{
    received::Peer,
    walk::{Found, Reason, Trust},
};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;
use wasmilter_sdk::{
    ClientInfo, Decision, Failure, HeaderField, HeaderName, Info, Message, MessagePolicy, NewClient, Plugin, Problems,
};

/// The plugin, configured.
pub struct PeerAddress {
    trust: Trust,
    /// Where the result is recorded.
    header: Option<HeaderName>,
}

/// `[stage.config]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["trusted"] }, { "required": ["trusted_hosts"] }]))]
pub struct Config {
    /// Networks of the relays whose Received fields are believed.
    #[serde(default)]
    trusted: Vec<String>,
    /// The same by name, as the MTA or a trusted relay verified it.
    #[serde(default)]
    trusted_hosts: Vec<String>,
    /// Most hops that are followed.
    #[serde(default = "default_max_hops")]
    #[schemars(range(min = 1, max = 100))]
    max_hops: u32,
    /// Where the client is recorded; empty: nowhere.
    #[serde(default = "default_header")]
    header: String,
    /// Fields in which the connected relay tells the client's address, such as `X-Real-IP`.
    #[serde(default)]
    headers: Vec<String>,
}

fn default_max_hops() -> u32 {
    20
}

fn default_header() -> String {
    "X-Original-Client".to_owned()
}

impl Plugin for PeerAddress {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("headers", "set-client")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut networks = Vec::new();
        for (index, text) in config.trusted.iter().enumerate() {
            networks.extend(problems.take(&format!("/trusted/{index}"), network(text)));
        }
        let mut hosts = Vec::new();
        for (index, name) in config.trusted_hosts.iter().enumerate() {
            hosts.extend(problems.take(&format!("/trusted_hosts/{index}"), host(name)));
        }
        if config.trusted.is_empty() && config.trusted_hosts.is_empty() {
            problems.add("/trusted", "must name at least one network, or trusted_hosts a name");
        }
        if !(1..=100).contains(&config.max_hops) {
            problems.add("/max_hops", format!("must be from 1 to 100, is {}", config.max_hops));
        }
        let header = if config.header.is_empty() { None } else { problems.take("/header", own_name(&config.header)) };
        for (index, name) in config.headers.iter().enumerate() {
            problems.take(&format!("/headers/{index}"), field_name(name));
        }
        problems.or_else_ok(|| Self {
            trust: Trust { networks, hosts, max_hops: config.max_hops, headers: config.headers },
            header,
        })
    }
}

impl MessagePolicy for PeerAddress {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let connected = message.connected();
        let fields = message.headers();
        let Ok(address) = connected.address.parse::<IpAddr>() else {
            // Handed over on this host, by sendmail(1) for example: nobody to ask for the way.
            let decision = Decision::next().with_fact("restored", false).with_fact("reason", "no_address");
            return Ok(self.forged_copies(&fields, 0).into_iter().fold(decision, Decision::remove_header));
        };
        let found = self.trust.walk(peer_of(&connected, address), &fields);

        let mut decision = Decision::next();
        for forged in self.forged_copies(&fields, found.believed) {
            decision = decision.remove_header(forged);
        }
        let restored = found.reason != Reason::Direct && found.peer.address != address.to_canonical();
        if restored {
            decision = decision.set_client(new_client(&found.peer));
            if let Some(header) = &self.header {
                decision = decision.insert_header(header.clone(), record(&found));
            }
        }
        Ok(decision
            .with_fact("address", found.peer.address.to_string())
            .with_fact("hops", found.hops)
            .with_fact("restored", restored)
            .with_fact("reason", found.reason.name()))
    }
}

impl PeerAddress {
    /// Removes the fields named like ours that do not stand among the first `believed`: some stranger wrote them.
    fn forged_copies<'f>(&self, fields: &'f [HeaderField], believed: usize) -> Vec<&'f HeaderField> {
        let Some(header) = &self.header else { return Vec::new() };
        fields.iter().skip(believed).filter(|field| field.is_named(header.as_str())).collect()
    }
}

fn peer_of(client: &ClientInfo, address: IpAddr) -> Peer {
    Peer {
        address: address.to_canonical(),
        port: u16::try_from(client.port).unwrap_or_default(),
        hostname: client.hostname.clone(),
        helo: client.helo.clone(),
    }
}

fn new_client(peer: &Peer) -> NewClient {
    NewClient::new(peer.address).with_port(peer.port).with_hostname(&peer.hostname).with_helo(&peer.helo)
}

/// The value of our header field: `203.0.113.9; name=mail.example.net; helo=mail.example.net; hops=2`.
fn record(found: &Found) -> String {
    let mut value = found.peer.address.to_string();
    for (name, text) in [("name", &found.peer.hostname), ("helo", &found.peer.helo)] {
        if !text.is_empty() {
            value.push_str(&format!("; {name}={text}"));
        }
    }
    value.push_str(&format!("; hops={}", found.hops));
    value
}

/// `10.0.0.0/8`, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("must be a network such as \"10.0.0.0/8\" or an address, is {text:?}"))?;
    if network.prefix_len() == 0 {
        return Err(format!("{text:?} is every host there is: every forged line would be believed"));
    }
    if network.network() != network.addr() {
        return Err(format!("has bits beyond its prefix, is {text:?}; write {:?}", network.trunc().to_string()));
    }
    Ok(network)
}

fn host(name: &str) -> Result<String, String> {
    let bare = name.strip_prefix('.').unwrap_or(name);
    let valid = !bare.is_empty()
        && bare.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    if valid && bare.parse::<IpAddr>().is_err() {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(format!("must be a host name, or \".example.org\" for all below it, is {name:?}"))
    }
}

fn own_name(name: &str) -> Result<HeaderName, String> {
    field_name(name)?;
    Ok(HeaderName::new(name)?)
}

/// RFC 5322 §2.2; Received would be ours and theirs at once.
fn field_name(name: &str) -> Result<(), String> {
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !valid {
        return Err(format!("must be the name of a header field, is {name:?}"));
    }
    if !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-")) {
        return Err(format!("must start with \"X-\", is {name:?}"));
    }
    Ok(())
}

wasmilter_sdk::plugin!(PeerAddress: message);

#[cfg(test)]
mod tests;
