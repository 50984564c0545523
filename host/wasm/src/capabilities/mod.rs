//! What a guest can reach: one file per interface of `wit/`, and `wasi` for language runtimes. Nothing else is linked.
//!
//! Every function begins with `Call::charge`. Arguments come from the guest and are not trusted; results are copied
//! into its memory by wasmtime.

mod client;
mod clock;
mod dns;
mod envelope;
mod facts;
mod headers;
mod log;
mod output;
mod parts;
mod random;
mod raw;
mod services;
mod store;
pub(crate) mod wasi;

pub(crate) use envelope::mailbox;

use crate::{bindings::wasmilter::policy, call::Call, version};
use wasmilter_message::grants::{Grants, StoreGrant};
use wasmtime::component::{HasSelf, Linker};

/// At most so many bytes are read in one call, whatever the guest asks for.
pub(crate) const READ_AT_ONCE: u32 = 65_536;

/// What linking an interface asks of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Free,
    /// One of these grants; without any the interface is not linked.
    Grant(&'static [&'static str]),
    /// Nothing, but what it does depends on grants like this one: `services` denies every service that was not
    /// granted, so that a plugin can do without.
    Optional(&'static str),
}

/// What the import of that name needs; None when there is no such import. Versions of our own interfaces were checked
/// before (`version.rs`).
pub(crate) fn need(import: &str) -> Option<Need> {
    if wasi::provides(import) {
        return Some(Need::Free);
    }
    match version::interface(import)?.0 {
        "types" | "hook-types" | "client" | "facts" | "output" | "log" => Some(Need::Free),
        "envelope" => Some(Need::Grant(&["envelope"])),
        "headers" => Some(Need::Grant(&["headers"])),
        "parts" => Some(Need::Grant(&["text", "attachments"])),
        "raw" => Some(Need::Grant(&["raw"])),
        "dns" => Some(Need::Grant(&["dns"])),
        "store" => Some(Need::Grant(&["store"])),
        "clock" => Some(Need::Grant(&["clock"])),
        "random" => Some(Need::Grant(&["random"])),
        "services" => Some(Need::Optional("service:*")),
        _ => None,
    }
}

/// Whether an import or export is that interface of ours.
pub(crate) fn is(name: &str, interface: &str) -> bool {
    version::interface(name).is_some_and(|(found, _)| found == interface)
}

/// A linker with everything that `grants` allow. An interface of 1.0 is found by plugins of every version of major version 1.
pub(crate) fn linker(engine: &wasmtime::Engine, grants: &Grants) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    policy::types::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::hook_types::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::client::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::facts::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::output::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::log::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    policy::services::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    if grants.envelope {
        policy::envelope::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.headers {
        policy::headers::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.parts() {
        policy::parts::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.raw {
        policy::raw::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.dns {
        policy::dns::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
    }
    if grants.store.is_some() {
        policy::store::add_to_linker::<_, HasSelf<Call>>(l, |call| call)?;
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

/// What opens every interface.
pub(crate) fn every_interface() -> Grants {
    Grants {
        envelope: true,
        headers: true,
        text: true,
        attachments: true,
        raw: true,
        dns: true,
        store: Some(StoreGrant::Own),
        clock: true,
        random: true,
        ..Grants::default()
    }
}

impl policy::types::Host for Call {}
impl policy::hook_types::Host for Call {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_is_known_or_refused() {
        for (import, expected) in [
            ("wasmilter:policy/types@1.0.0", Some(Need::Free)),
            ("wasmilter:policy/headers@1.0.7", Some(Need::Grant(&["headers"]))),
            ("wasmilter:policy/parts@1.0.0", Some(Need::Grant(&["text", "attachments"]))),
            ("wasmilter:policy/raw@1.0.0", Some(Need::Grant(&["raw"]))),
            ("wasmilter:policy/store@1.0.0", Some(Need::Grant(&["store"]))),
            ("wasmilter:policy/services@1.0.0", Some(Need::Optional("service:*"))),
            ("wasi:cli/stdout@0.2.6", Some(Need::Free)),
            ("wasi:http/outgoing-handler@0.2.6", None),
            ("wasi:cli/stdout@0.3.0", None),
            ("wasmilter:policy/files@1.0.0", None),
            ("other:policy/headers@1.0.0", None),
            ("headers", None),
        ] {
            assert_eq!(need(import), expected, "{import}");
        }
    }

    #[test]
    fn every_interface_of_the_contract_has_its_need() {
        let engine = wasmtime::Engine::default();
        linker(&engine, &every_interface()).unwrap();
        let contract = include_str!("../../../../wit/package.wit");
        let imports: Vec<&str> =
            contract.lines().filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';')).collect();
        assert!(imports.len() > 12, "{imports:?}");
        for import in imports {
            assert!(need(&format!("wasmilter:policy/{import}@1.0.0")).is_some(), "{import}");
        }
    }
}
