//! Where plugins come from that are no file of the administrator's: OCI registries; and how it is known that a plugin is
//! the one that was meant: by digest, and by signature.
//!
//! Everything here fails closed: what could not be fetched whole, or is not what was asked for, is an error and never a
//! plugin. The only crate that knows OCI and minisign.
//!
//! A plugin in a registry is an OCI artifact in the shape of the CNCF's Wasm artifact format (`application/vnd.wasm.config.v0+json` and
//! one layer `application/wasm`), so that other tools can push and pull it. Its signature, when it has one, is a second layer.

mod pull;
mod push;
mod reference;
mod signature;

pub use pull::{Artifact, Login, PullError, Registries, RegistrySettings};
pub use push::PushError;
pub use reference::{Digest, InvalidReference, Reference};
pub use signature::{InvalidKey, PublicKey, SignatureError, read_signature, signature_file};
