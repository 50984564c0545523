//! A component that was looked at, and that no stage has configured yet. Its code is not kept: what stages run is compiled from the
//! snapshot that each takes of it.

use crate::{
    bindings::exports::wasmilter::policy::lifecycle,
    call::{self, Call, Phase},
    capabilities::{self, Need},
    convert,
    failure::classify,
    outside::Outside,
    sandbox::Sandbox,
    stage::{Limits, Stage},
    version, workshop,
};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use wasmilter_message::{deadline::Deadline, failure::Failure, grants::Grants, judge::Needs, policy::PluginInfo};

/// How long `describe` may take, everything included but compilation.
const DESCRIBE: Duration = Duration::from_secs(10);

/// How a WebAssembly file begins: magic, version, layer (WebAssembly component model, binary format).
const MAGIC: &[u8] = b"\0asm";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A component that can run here. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Loaded>);

struct Loaded {
    bytes: Vec<u8>,
    inspection: Inspection,
    /// Of each of these one grant is needed.
    needs: Vec<&'static [&'static str]>,
}

/// What a component is, as `wasmilter plugin inspect` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// How the plugin presents itself.
    pub info: PluginInfo,
    /// Which hooks it exports, and which parts of the message it can look at.
    pub phases: Needs,
    /// Exported interfaces of ours; what a language's runtime exports for itself is not called.
    pub exports: Vec<String>,
    /// Imported interfaces that have functions.
    pub imports: Vec<String>,
    /// Grants without which it is refused, by its imports; `text or attachments` where one of several will do.
    pub needs_grants: Vec<String>,
    /// Grants that it can do without, by its imports: what was not granted is denied when it asks.
    pub optional_grants: Vec<String>,
    /// Imports that this host does not have; such a plugin is always refused.
    pub unknown_imports: Vec<String>,
    /// Size of the component in bytes.
    pub size: u64,
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("reading {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Not WebAssembly at all.
    #[error("{name} is no WebAssembly file")]
    NotWasm {
        /// The plugin as it was named.
        name: String,
    },
    /// A core module, which says nothing of its interfaces.
    #[error("{name} is a WebAssembly module; a plugin must be a component (`wasm-tools component new` makes one)")]
    Module {
        /// The plugin as it was named.
        name: String,
    },
    /// Not valid, or it uses what the sandbox does not have.
    #[error("{name} is no component that can run here: {reason}")]
    Invalid {
        /// The plugin as it was named.
        name: String,
        /// What the compiler says.
        reason: String,
    },
    /// Built against a version of the contract that this host does not run.
    #[error(
        "{name} was built for version {theirs} of wasmilter:policy; this host has {ours} and runs what was built for \
         version {} up to {ours}", semver::Version::new(ours.major, 0, 0)
    )]
    Version {
        /// The plugin as it was named.
        name: String,
        /// What it was built for.
        theirs: String,
        /// What this host has.
        ours: semver::Version,
    },
    /// A component, but not one of ours.
    #[error("{name} is no plugin: it does not export {missing}")]
    NotAPlugin {
        /// The plugin as it was named.
        name: String,
        /// The interface.
        missing: &'static str,
    },
    /// It did not say who it is.
    #[error("{name} could not describe itself: {failure}")]
    Describe {
        /// The plugin as it was named.
        name: String,
        /// Why.
        failure: Failure,
    },
}

impl Sandbox {
    /// Loads a component from a file: compiles it, or takes the compiled code from the cache, and asks it who it is.
    /// Blocks, for seconds when a big component is compiled; may be called inside or outside of a runtime.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, path: &Path) -> Result<Component, LoadError> {
        let bytes = std::fs::read(path).map_err(|error| LoadError::Read { path: path.to_owned(), error })?;
        self.load_bytes(&path.display().to_string(), &bytes)
    }

    /// Loads a component from memory; `name` is for messages. Blocks like [`Sandbox::load`].
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        if bytes.starts_with(MODULE) {
            return Err(LoadError::Module { name: name.to_owned() });
        }
        if !bytes.starts_with(MAGIC) {
            return Err(LoadError::NotWasm { name: name.to_owned() });
        }
        let loaded = workshop::run(|| load(self, name, bytes));
        loaded.unwrap_or_else(|reason| Err(LoadError::Invalid { name: name.to_owned(), reason }))
    }
}

impl Component {
    /// What it is.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.0.inspection
    }

    /// Of each of these the stage must have one grant.
    pub(crate) fn needs(&self) -> &[&'static [&'static str]] {
        &self.0.needs
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Component").field(&self.0.inspection).finish()
    }
}

async fn load(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
    let invalid = |error: wasmtime::Error| LoadError::Invalid { name: name.to_owned(), reason: format!("{error:#}") };
    let compiled = sandbox.compile(bytes).map_err(invalid)?;
    let ty = compiled.component_type();
    let imports: Vec<String> = ty.imports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = ty.exports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
    if let Some(theirs) = version::foreign(imports.iter().chain(&exports).map(String::as_str)) {
        return Err(LoadError::Version { name: name.to_owned(), theirs: theirs.to_owned(), ours: version::OURS });
    }
    let (mut needs, mut optional_grants, mut unknown_imports) = (Vec::new(), Vec::new(), Vec::new());
    for import in &imports {
        match capabilities::need(import) {
            Some(Need::Free) => {}
            Some(Need::Grant(any)) if needs.contains(&any) => {}
            Some(Need::Grant(any)) => needs.push(any),
            Some(Need::Optional(grant)) => add_once(&mut optional_grants, grant),
            None => unknown_imports.push(import.clone()),
        }
    }
    let info = describe(sandbox, name, &compiled, !unknown_imports.is_empty()).await?;
    let phases = phases(&imports, &exports);
    if phases == (Needs { headers: phases.headers, body: phases.body, ..Needs::default() }) {
        let missing = "message-policy or any of on-connect, on-helo, on-mail, on-rcpt";
        return Err(LoadError::NotAPlugin { name: name.to_owned(), missing });
    }
    let exports = exports.into_iter().filter(|export| version::interface(export).is_some()).collect();
    let types = |import: &String| capabilities::is(import, "types") || capabilities::is(import, "hook-types");
    let imports = imports.into_iter().filter(|import| !types(import)).collect();
    let needs_grants = needs.iter().map(|any| any.join(" or ")).collect();
    let size = bytes.len() as u64;
    let inspection =
        Inspection { info, phases, exports, imports, needs_grants, optional_grants, unknown_imports, size };
    Ok(Component(Arc::new(Loaded { bytes: bytes.to_owned(), inspection, needs })))
}

fn add_once(grants: &mut Vec<String>, grant: &str) {
    if !grants.iter().any(|known| known == grant) {
        grants.push(grant.to_owned());
    }
}

/// Which phases a plugin with these exports judges, and what of a message it can look at by its imports.
fn phases(imports: &[String], exports: &[String]) -> Needs {
    let exported = |interface| exports.iter().any(|export| capabilities::is(export, interface));
    let imported = |interface| imports.iter().any(|import| capabilities::is(import, interface));
    let message = exported("message-policy");
    let body = message && (imported("parts") || imported("raw"));
    Needs {
        connect: exported("on-connect"),
        helo: exported("on-helo"),
        mail: exported("on-mail"),
        rcpt: exported("on-rcpt"),
        message,
        headers: body || message && imported("headers"),
        body,
    }
}

/// Asks the component who it is; a call of anything but WASI ends it.
async fn describe(
    sandbox: &Sandbox,
    name: &str,
    compiled: &wasmtime::component::Component,
    unknown_imports: bool,
) -> Result<PluginInfo, LoadError> {
    let stage = Arc::new(Stage {
        name: name.into(),
        grants: Grants::default(),
        limits: Limits { memory: sandbox.memory_max(), ..Limits::default() },
        outside: Outside::nothing(),
        space: None,
        bodies: sandbox.bodies(),
    });
    let call = Call::new(stage, Phase::Describe, Deadline::after(DESCRIBE));
    let mut store = call::store(sandbox.engine(), call);
    let _running = sandbox.run_clock();
    let described = async {
        // Everything is linked, so that whoever imports it can be asked; `Phase::Describe` refuses calls of our interfaces.
        let mut linker = capabilities::linker(sandbox.engine(), &capabilities::every_interface())?;
        if unknown_imports {
            // Such a plugin is refused later, but may say who it is. Not otherwise: WASI in another minor version than
            // ours counts as unknown here, and a trap would go before what fits.
            linker.define_unknown_imports_as_traps(compiled)?;
        }
        let instance = linker.instantiate_pre(compiled)?;
        let Ok(indices) = lifecycle::GuestIndices::new(&instance) else { return Ok(None) };
        let instance = instance.instantiate_async(&mut store).await?;
        indices.load(&mut store, &instance)?.call_describe(&mut store).await.map(Some)
    };
    let described = tokio::time::timeout(DESCRIBE, described).await;
    let described = described.unwrap_or_else(|_| Err(crate::failure::Stop::Expired.into()));
    match described {
        Ok(Some(info)) => Ok(convert::info(info)),
        Ok(None) => Err(LoadError::NotAPlugin { name: name.to_owned(), missing: "lifecycle" }),
        Err(error) => {
            Err(LoadError::Describe { name: name.to_owned(), failure: classify(&error, &store.data().memory) })
        }
    }
}
