//! Where a service listens.

use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// Address of a service, as in `[services.NAME] address = "…"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServiceAddress {
    /// `unix:/path`: a unix stream socket.
    Unix(PathBuf),
    /// `inet:host:port`, `tcp:host:port` or `host:port`; an IPv6 address in brackets. Host names are looked up for every
    /// connection.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// From 1.
        port: u16,
    },
}

/// Why a text is no address of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, is {text:?}; write unix:/path, host:port, inet:host:port or, for IPv6, [address]:port")]
pub struct AddressError {
    /// The text.
    pub text: String,
    reason: &'static str,
}

impl FromStr for ServiceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(wrong("path of a unix socket must be absolute")),
            };
        }
        let rest = text.strip_prefix("inet:").or_else(|| text.strip_prefix("tcp:")).unwrap_or(text);
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("address must have a port"))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(wrong("port must be a number from 1 to 65535")),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner.strip_suffix(']').ok_or_else(|| wrong("bracket must be closed"))?;
                inner.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("brackets must hold an IPv6 address"))?;
                inner
            }
            None if host.contains(':') => return Err(wrong("IPv6 address must stand in brackets")),
            None => host,
        };
        let valid = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@');
        if !valid {
            return Err(wrong("address must have a host name or an address"));
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "inet:{host}:{port}"),
        }
    }
}

impl TryFrom<String> for ServiceAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<ServiceAddress> for String {
    fn from(address: ServiceAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, shown) in [
            ("unix:/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl"),
            ("inet:127.0.0.1:3310", "inet:127.0.0.1:3310"),
            ("tcp:clamd.example.org:3310", "inet:clamd.example.org:3310"),
            ("localhost:11333", "inet:localhost:11333"),
            ("[::1]:783", "inet:[::1]:783"),
            ("inet:[2001:db8::1]:783", "inet:[2001:db8::1]:783"),
        ] {
            let address: ServiceAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, reason) in [
            ("clamd", "must have a port"),
            ("clamd:", "port must be a number"),
            ("clamd:0", "port must be a number"),
            ("clamd:65536", "port must be a number"),
            (":3310", "must have a host"),
            ("inet::3310", "must have a host"),
            ("::1:3310", "must stand in brackets"),
            ("[::1:3310", "bracket must be closed"),
            ("[clamd]:3310", "must hold an IPv6"),
            ("unix:run/clamd.ctl", "must be absolute"),
            ("unix:", "must be absolute"),
            ("http://clamd:3310", "must stand in brackets"),
            ("clam d:3310", "must have a host"),
            ("", "must have a port"),
        ] {
            let error = text.parse::<ServiceAddress>().expect_err(text).to_string();
            assert!(error.contains(reason) && error.contains("unix:/path"), "{text}: {error}");
        }
    }

    #[test]
    fn reads_from_a_configuration() {
        let address: ServiceAddress = serde_json::from_str(r#""[::1]:783""#).expect("an address");
        assert_eq!(address, ServiceAddress::Tcp { host: "::1".to_owned(), port: 783 });
        let error = serde_json::from_str::<ServiceAddress>(r#""clamd""#).expect_err("no port");
        assert!(error.to_string().contains("must have a port"), "{error}");
    }
}
