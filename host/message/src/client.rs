//! Who sent the message.

use serde::Serialize;
use std::net::IpAddr;

/// The SMTP client, as the MTA or a `peer-address` stage describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Client {
    /// None for local submission and unix sockets.
    pub address: Option<IpAddr>,
    /// None when not known.
    pub port: Option<u16>,
    /// Host name that the MTA verified; None when it could not.
    pub hostname: Option<String>,
    /// Name given at HELO/EHLO.
    pub helo: Option<String>,
    /// Set when the client authenticated by SMTP AUTH.
    pub auth: Option<Authentication>,
    /// Set when the session uses TLS.
    pub tls: Option<Tls>,
    /// The MTA's listener, macro `{daemon_name}`.
    pub listener: Option<String>,
}

/// Who the client proved to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Authentication {
    /// User name, macro `{auth_authen}`.
    pub user: String,
    /// SASL mechanism, macro `{auth_type}`.
    pub mechanism: String,
}

/// How the session is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Such as `TLSv1.3`, macro `{tls_version}`.
    pub version: String,
    /// Macro `{cipher}`.
    pub cipher: String,
}
