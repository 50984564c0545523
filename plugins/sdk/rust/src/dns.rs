//! The domain name system.

use crate::{Failure, MailExchanger, bindings::wasmilter::policy::dns::DnsError as HostError, source::Source};
use std::{error, fmt, net::IpAddr};

/// The domain name system, through the host's resolver. No records (no such name, no data) is an empty list. Needs the
/// grant `dns`. Made by [`Session::dns`](crate::Session::dns).
#[derive(Clone, Copy)]
pub struct Dns<'m> {
    source: &'m Source,
}

impl<'m> Dns<'m> {
    pub(crate) const fn new(source: &'m Source) -> Self {
        Self { source }
    }

    /// IPv4 and IPv6 addresses of a name.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        let addresses = self.source.dns_addresses(name)?;
        Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect())
    }

    /// TXT records, the strings of each joined.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        Ok(self.source.dns_texts(name)?)
    }

    /// Hosts that take mail for a domain, by rising preference.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn mail_exchangers(&self, domain: &str) -> Result<Vec<MailExchanger>, DnsError> {
        Ok(self.source.dns_mail_exchangers(domain)?)
    }

    /// Host names of an address.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn names(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        Ok(self.source.dns_names(&address.to_string())?)
    }

    /// What a block list says of an address (RFC 5782 §2): the addresses of its reversed octets or nibbles in `zone`; none when it is
    /// not listed.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn listed(&self, address: IpAddr, zone: &str) -> Result<Vec<IpAddr>, DnsError> {
        self.addresses(&format!("{}.{zone}", reversed(address)))
    }
}

/// `192.0.2.1` as `1.2.0.192`; IPv6 by nibbles.
fn reversed(address: IpAddr) -> String {
    let labels: Vec<String> = match address.to_canonical() {
        IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    labels.join(".")
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsError {
    /// No answer in time.
    TimedOut,
    /// The resolver or a name server failed, or the name is not a domain name.
    Failed(String),
    /// The stage's limit of queries was passed.
    Limit(String),
}

impl From<HostError> for DnsError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::TimedOut => Self::TimedOut,
            HostError::Failed(why) => Self::Failed(why),
            HostError::Limit(which) => Self::Limit(which),
        }
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::Failed(why) => formatter.write_str(why),
            Self::Limit(which) => write!(formatter, "limit passed: {which}"),
        }
    }
}

impl error::Error for DnsError {}

/// A failure of the kind `service`.
impl From<DnsError> for Failure {
    fn from(error: DnsError) -> Self {
        Self::service(format!("dns: {error}"))
    }
}
