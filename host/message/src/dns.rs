//! The domain name system as the sandbox sees it. Implemented by the services crate.

use crate::{deadline::Deadline, judge::BoxFuture};

/// A resolver. No records of the kind asked for is an empty list, not an error.
pub trait Dns: Send + Sync {
    /// IPv4 and IPv6 addresses of a name (A and AAAA), following CNAME.
    fn addresses<'a>(&'a self, name: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>>;
    /// TXT records; the strings of one record are joined, what is not UTF-8 carries U+FFFD.
    fn texts<'a>(&'a self, name: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>>;
    /// MX records by rising preference.
    fn mail_exchangers<'a>(
        &'a self,
        name: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Vec<MailExchanger>, DnsError>>;
    /// Host names of an IPv4 or IPv6 address (PTR), without the final dot.
    fn names<'a>(&'a self, address: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>>;
}

/// A host that takes mail for a domain (RFC 5321 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailExchanger {
    /// Lower is tried first.
    pub preference: u16,
    /// Without the final dot; empty for the null MX (RFC 7505).
    pub host: String,
}

/// Why there is no answer; `dns-error` of `wit/host.wit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The resolver or a name server failed, or the name is no domain name.
    #[error("{0}")]
    Failed(String),
    /// The stage's limit of queries was passed.
    #[error("limit passed: {0}")]
    Limit(String),
}
