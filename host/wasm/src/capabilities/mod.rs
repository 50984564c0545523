//! What a guest can reach: one file per interface of `wit/`, and `wasi` for language runtimes. Nothing else is linked.
//!
//! Every function begins with `Call::charge`. Arguments come from the guest and are not trusted; results are copied
//! into its memory by wasmtime.

mod client;
mod clock;
mod envelope;
mod facts;
mod headers;
mod log;
mod output;
mod parts;
mod random;
mod raw;
mod services;
pub(crate) mod wasi;

pub(crate) use envelope::mailbox;

use crate::{bindings::wasmilter::policy, call::Call};
use wasmilter_message::grants::Grants;
use wasmtime::component::{HasSelf, Linker};

/// Package and version of our interfaces, as they stand in the name of an import.
const PACKAGE: &str = "wasmilter:policy/";
const VERSION: &str = "@0.1.";

/// At most so many bytes are read in one call, whatever the guest asks for.
pub(crate) const READ_AT_ONCE: u32 = 65_536;

/// What linking an interface asks of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Free,
    /// This grant; without it the interface is not linked.
    Grant(&'static str),
    /// Nothing, but what it does depends on grants like this one: `services` denies every service that was not
    /// granted, so that a plugin can do without.
    Optional(&'static str),
}

/// What the import of that name needs; None when there is no such import.
pub(crate) fn need(import: &str) -> Option<Need> {
    if wasi::provides(import) {
        return Some(Need::Free);
    }
    let (interface, version) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    if !format!("@{version}").starts_with(VERSION) {
        return None;
    }
    match interface {
        "types" | "hook-types" | "client" | "envelope" | "headers" | "facts" | "output" | "log" => Some(Need::Free),
        "parts" | "raw" => Some(Need::Grant("body")),
        "clock" => Some(Need::Grant("clock")),
        "random" => Some(Need::Grant("random")),
        "services" => Some(Need::Optional("service:*")),
        _ => None,
    }
}

/// Whether `import` is that interface of ours, in any version that we link.
pub(crate) fn is(import: &str, interface: &str) -> bool {
    need(import).is_some()
        && import.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')).is_some_and(|(name, _)| name == interface)
}

/// Whether `export` is that interface of ours, in any version that we call.
pub(crate) fn is_export(export: &str, interface: &str) -> bool {
    let Some((name, version)) = export.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
        return false;
    };
    name == interface && format!("@{version}").starts_with(VERSION)
}

/// A linker with everything that `grants` allow.
pub(crate) fn linker(engine: &wasmtime::Engine, grants: &Grants) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    policy::types::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::hook_types::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::client::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::envelope::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::headers::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::facts::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::output::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::log::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::services::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    if grants.body {
        policy::parts::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
        policy::raw::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.clock {
        policy::clock::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.random {
        policy::random::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    wasi::add_to_linker(l)?;
    Ok(linker)
}

impl policy::types::Host for Call {}
impl policy::hook_types::Host for Call {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_is_known_or_refused() {
        for (import, expected) in [
            ("wasmilter:policy/types@0.1.0", Some(Need::Free)),
            ("wasmilter:policy/headers@0.1.7", Some(Need::Free)),
            ("wasmilter:policy/raw@0.1.0", Some(Need::Grant("body"))),
            ("wasmilter:policy/services@0.1.0", Some(Need::Optional("service:*"))),
            ("wasi:cli/stdout@0.2.6", Some(Need::Free)),
            ("wasi:http/outgoing-handler@0.2.6", None),
            ("wasi:cli/stdout@0.3.0", None),
            ("wasmilter:policy/headers@0.2.0", None),
            ("wasmilter:policy/files@0.1.0", None),
            ("other:policy/headers@0.1.0", None),
            ("headers", None),
        ] {
            assert_eq!(need(import), expected, "{import}");
        }
    }
}
