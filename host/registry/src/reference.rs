//! What names a plugin in a registry, and a file by its content.

use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// How references begin in a configuration.
const SCHEME: &str = "oci://";

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hexadecimal digits alone, in lower case.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Digest {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference::Digest(text.to_owned());
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        let mut digest = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(invalid());
        }
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        // `from_str_radix` takes a sign.
        if hex.contains('+') { Err(invalid()) } else { Ok(Self(digest)) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A plugin in a registry: `oci://HOST[:PORT]/NAME[:TAG][@sha256:…]`. The digest is that of the artifact's manifest, as
/// `wasmilter plugin push` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    inner: oci_client::Reference,
    digest: Option<Digest>,
}

/// What is wrong with a reference or a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It does not begin as references do.
    #[error("{0:?} does not begin with {SCHEME}")]
    Scheme(String),
    /// No host, or not one as it must be.
    #[error("{0:?} must name the registry's host, as in oci://registry.example.org/policies/look-alike@sha256:…")]
    Host(String),
    /// The rest of it.
    #[error("{reference:?} is no reference to a plugin in a registry: {reason}")]
    Malformed {
        /// As it was written.
        reference: String,
        /// What the library says.
        reason: String,
    },
    /// Not a digest.
    #[error("{0:?} is no digest: it must be sha256: and 64 hexadecimal digits")]
    Digest(String),
}

impl Reference {
    /// Whether a plugin named so is one in a registry.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// `HOST[:PORT]`
    #[must_use]
    pub fn host(&self) -> &str {
        self.inner.registry()
    }

    /// The digest that the manifest must have; none when the reference does not pin it.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    pub(crate) fn inner(&self) -> &oci_client::Reference {
        &self.inner
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| InvalidReference::Scheme(text.to_owned()))?;
        // Without a host the library would go to a well-known public registry, which nobody asked for.
        let host = rest.split_once('/').map(|(host, _)| host).unwrap_or_default();
        if !(host.contains('.') || host.contains(':') || host == "localhost") {
            return Err(InvalidReference::Host(text.to_owned()));
        }
        let inner = oci_client::Reference::from_str(rest)
            .map_err(|error| InvalidReference::Malformed { reference: text.to_owned(), reason: error.to_string() })?;
        let digest = inner.digest().map(Digest::from_str).transpose()?;
        Ok(Self { inner, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.inner.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_host_repository_and_digest() {
        let hex = "ab".repeat(32);
        let text = format!("oci://registry.example.org:5000/policies/look-alike:1.2@sha256:{hex}");
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.host(), "registry.example.org:5000");
        assert_eq!(reference.digest().unwrap().hex(), hex);
        assert_eq!(reference.to_string(), text);
        let without: Reference = "oci://localhost/word-tags".parse().unwrap();
        assert_eq!(without.digest(), None);
    }

    #[test]
    fn what_names_no_registry_is_refused() {
        for text in ["oci://look-alike", "oci://policies/look-alike", "docker://a.example/b", "oci://a.example/", ""] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for digest in ["sha256:", "sha256:zz", "sha512:00", &format!("sha256:+{}", "0".repeat(63)), "sha256:ä"] {
            assert!(digest.parse::<Digest>().is_err(), "{digest}");
        }
        assert!(format!("oci://a.example/b@sha256:{}", "0".repeat(63)).parse::<Reference>().is_err());
    }
}
