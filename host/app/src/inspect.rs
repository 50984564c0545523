//! What a plugin is, without a configuration.

use std::path::Path;
use wasmilter_wasm::{Sandbox, SandboxError, SandboxSettings};

pub use wasmilter_wasm::{Inspection, LoadError};

/// Why a plugin can not be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The sandbox can not be set up on this machine.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// It is no plugin, or can not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Looks at a component. Blocks while it is compiled.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect(file: &Path) -> Result<Inspection, InspectError> {
    let sandbox = Sandbox::new(&SandboxSettings { slots: 1, ..SandboxSettings::default() })?;
    Ok(sandbox.load(file)?.inspection().clone())
}
