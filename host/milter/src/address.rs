//! Where the MTA finds the milter, in every spelling that Postfix and Sendmail use.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// An address to listen on.
///
/// | written | means |
/// |---|---|
/// | `unix:/run/w.sock`, `local:/run/w.sock` | a unix socket, by absolute path |
/// | `inet:127.0.0.1:8891`, `inet:[::1]:8891` | TCP, as Postfix writes it |
/// | `inet:8891@127.0.0.1`, `inet6:8891@::1` | TCP, as Sendmail writes it |
/// | `127.0.0.1:8891`, `[::1]:8891` | TCP |
///
/// In place of an IP address, `localhost` stands for 127.0.0.1 (with `inet6:`, for ::1). Other names are not looked up:
/// a listener must not depend on DNS. Port 0 lets the system choose one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Inet(SocketAddr),
}

/// An address that can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}, is {given:?}; allowed are unix:/path, inet:127.0.0.1:8891, inet:[::1]:8891, inet:8891@127.0.0.1, \
     inet6:8891@::1, 127.0.0.1:8891"
)]
pub struct AddressError {
    given: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError { given: given.to_owned(), reason };
        let (scheme, rest) = match given.split_once(':') {
            Some((scheme @ ("unix" | "local" | "inet" | "inet6"), rest)) => (scheme, rest),
            _ => ("", given),
        };
        match scheme {
            "unix" | "local" => {
                let path = PathBuf::from(rest);
                if !path.is_absolute() {
                    return Err(wrong("path of a unix socket must be absolute"));
                }
                Ok(Self::Unix(path))
            }
            _ => {
                let address = if let Some((port, host)) = rest.split_once('@') {
                    socket_address(host, port, scheme).ok_or_else(|| wrong("must be PORT@ADDRESS"))?
                } else {
                    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("port is missing"))?;
                    socket_address(host, port, scheme).ok_or_else(|| wrong("must be ADDRESS:PORT"))?
                };
                match (scheme, address) {
                    ("inet6", SocketAddr::V4(_)) => Err(wrong("inet6 needs an IPv6 address")),
                    _ => Ok(Self::Inet(address)),
                }
            }
        }
    }
}

fn socket_address(host: &str, port: &str, scheme: &str) -> Option<SocketAddr> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = match (bracketed.unwrap_or(host), scheme) {
        ("localhost", "inet6") => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ("localhost", _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (ip, _) => ip.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(address) => write!(f, "inet:{address}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_mtas_use() {
        for (written, shown) in [
            ("unix:/run/w.sock", "unix:/run/w.sock"),
            ("local:/run/w.sock", "unix:/run/w.sock"),
            ("inet:127.0.0.1:8891", "inet:127.0.0.1:8891"),
            ("inet:[::1]:8891", "inet:[::1]:8891"),
            ("inet:8891@127.0.0.1", "inet:127.0.0.1:8891"),
            ("inet6:8891@::1", "inet:[::1]:8891"),
            ("inet6:8891@[::1]", "inet:[::1]:8891"),
            ("127.0.0.1:8891", "inet:127.0.0.1:8891"),
            ("[::1]:8891", "inet:[::1]:8891"),
            ("inet:localhost:8891", "inet:127.0.0.1:8891"),
            ("inet6:8891@localhost", "inet:[::1]:8891"),
            ("inet:0@127.0.0.1", "inet:127.0.0.1:0"),
        ] {
            let address: Address = written.parse().unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(address.to_string(), shown, "{written}");
            assert_eq!(shown.parse::<Address>().unwrap(), address, "what is shown can be read again");
        }
    }

    #[test]
    fn errors_say_what_is_allowed() {
        for (written, reason) in [
            ("unix:run/w.sock", "path of a unix socket must be absolute"),
            ("unix:", "path of a unix socket must be absolute"),
            ("inet:8891", "port is missing"),
            ("8891", "port is missing"),
            ("inet:example.org:8891", "must be ADDRESS:PORT"),
            ("inet:127.0.0.1:99999", "must be ADDRESS:PORT"),
            ("inet:x@127.0.0.1", "must be PORT@ADDRESS"),
            ("inet6:8891@127.0.0.1", "inet6 needs an IPv6 address"),
            ("", "port is missing"),
        ] {
            let error = written.parse::<Address>().unwrap_err().to_string();
            assert!(error.starts_with(reason), "{written}: {error}");
            assert!(error.contains("allowed are unix:/path, inet:127.0.0.1:8891"), "{error}");
        }
    }

    #[test]
    fn read_from_a_configuration() {
        let address: Address = serde_json::from_str("\"inet:8891@127.0.0.1\"").unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"inet:127.0.0.1:8891\"");
        assert!(serde_json::from_str::<Address>("\"nowhere\"").is_err());
    }
}
