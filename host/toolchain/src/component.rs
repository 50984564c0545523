//! From what a tool chain makes to a plugin: a component, checked against the contract.

use crate::contract::Contract;
use anyhow::{Context, Result};
use std::fmt;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// What a language's tool chain made.
#[derive(Debug)]
pub enum Artefact {
    /// A core module with the names of the canonical ABI. It may carry its world in a custom section (`component-type…`);
    /// where it does not, it is the project's.
    Module {
        /// The module.
        bytes: Vec<u8>,
        /// What becomes of its imports of WASI preview 1.
        wasi: Wasi,
    },
    /// A component.
    Component(Vec<u8>),
}

/// What becomes of imports of `wasi_snapshot_preview1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    /// There are none.
    None,
    /// They are answered inside the component by `no-wasi.wat`: no arguments, no environment, no files, a clock that only counts,
    /// randomness that is none. What is printed is dropped.
    Stub,
}

/// A component that fits the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Interfaces of the contract that it imports, such as `headers`, sorted. Those that only have types are left out.
    pub imports: Vec<String>,
    /// Interfaces of the contract that it exports, sorted.
    pub exports: Vec<String>,
    /// Grants that a stage must give, or the host does not load it; where there is a choice, with `or` between. What it does
    /// with services and edits needs grants too, and can not be seen from outside.
    pub grants_needed: Vec<String>,
}

/// Why a component is no plugin.
#[derive(Debug, thiserror::Error)]
pub struct NotAPlugin(Vec<String>);

impl fmt::Display for NotAPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the component does not fit the contract: {}", self.0.join("; "))
    }
}

const NO_WASI: &str = include_str!("no-wasi.wat");
const PACKAGE: &str = "wasmilter:policy/";
/// The major version of the contract that this host has.
const MAJOR: &str = "1.";
/// Interfaces that the host can call to judge.
const POLICIES: [&str; 5] = ["message-policy", "on-connect", "on-helo", "on-mail", "on-rcpt"];
/// Interfaces without functions.
const TYPES: [&str; 2] = ["types", "hook-types"];
/// What importing an interface needs granted. `services` opens only what is granted by name, so that its import alone needs nothing.
const GRANTS: [(&str, &str); 8] = [
    ("envelope", "envelope"),
    ("headers", "headers"),
    ("parts", "text or attachments"),
    ("raw", "raw"),
    ("dns", "dns"),
    ("store", "store"),
    ("clock", "clock"),
    ("random", "random"),
];

impl Artefact {
    /// Makes the component. Without a contract, a module must carry its world.
    fn into_component(self, contract: Option<&Contract>) -> Result<Vec<u8>> {
        let (mut module, wasi) = match self {
            Self::Component(bytes) => return Ok(bytes),
            Self::Module { bytes, wasi } => (bytes, wasi),
        };
        if !has_world(&module)? {
            let contract = contract.context("the module does not carry its world")?;
            embed_component_metadata(&mut module, contract.resolve(), contract.world()?, StringEncoding::UTF8)
                .context("telling the module its world")?;
        }
        let mut encoder = ComponentEncoder::default().validate(true).module(&module)?;
        if wasi == Wasi::Stub {
            let stub = wat::parse_str(NO_WASI).context("the stub for WASI")?;
            encoder = encoder.adapter("wasi_snapshot_preview1", &stub).context("the stub for WASI")?;
        }
        encoder.encode().context("making a component of the module")
    }
}

impl Component {
    /// Makes a component of what a tool chain made, and looks at it.
    pub(crate) fn of(artefact: Artefact, contract: &Contract) -> Result<(Vec<u8>, Self)> {
        let bytes = artefact.into_component(Some(contract))?;
        let component = Self::look(&bytes)?;
        Ok((bytes, component))
    }

    /// Makes a component of a module that carries its world and imports no WASI, as the Rust SDK makes it.
    ///
    /// # Errors
    /// As [`Component::look`], and when it is no such module.
    pub fn of_module(module: &[u8]) -> Result<(Vec<u8>, Self)> {
        let bytes = Artefact::Module { bytes: module.to_vec(), wasi: Wasi::None }.into_component(None)?;
        let component = Self::look(&bytes)?;
        Ok((bytes, component))
    }

    /// Looks at a component.
    ///
    /// # Errors
    /// [`NotAPlugin`] with everything that is wrong; another when it is no component at all.
    pub fn look(bytes: &[u8]) -> Result<Self> {
        let (imports, exports) = names(bytes).context("the result is no component")?;
        let mut wrong = Vec::new();
        let imports = interfaces(&imports, "imports", &mut wrong);
        // What is exported under a plain name a language's runtime exports for itself; nobody calls it.
        let exports: Vec<String> = exports.into_iter().filter(|name| name.contains(':')).collect();
        let exports = interfaces(&exports, "exports", &mut wrong);
        if !exports.iter().any(|name| name == "lifecycle") {
            wrong.push("it does not export lifecycle".to_owned());
        }
        if !exports.iter().any(|name| POLICIES.contains(&name.as_str())) {
            wrong.push(format!("it exports none of {}", POLICIES.join(", ")));
        }
        if !wrong.is_empty() {
            return Err(NotAPlugin(wrong).into());
        }
        let needed = GRANTS.iter().filter(|(interface, _)| imports.iter().any(|import| import == interface));
        let grants_needed = needed.map(|(_, grant)| (*grant).to_owned()).collect();
        Ok(Self { imports, exports, grants_needed })
    }
}

/// Names of the interfaces of the contract among `names`; what is foreign goes to `wrong`.
fn interfaces(names: &[String], verb: &str, wrong: &mut Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        match name.strip_prefix(PACKAGE).and_then(|name| name.split_once('@')) {
            Some((interface, version)) if version.starts_with(MAJOR) => {
                if !TYPES.contains(&interface) {
                    found.push(interface.to_owned());
                }
            }
            Some(_) => wrong.push(format!("it {verb} {name}, which is of another version than {PACKAGE}…@{MAJOR}x")),
            None => wrong.push(format!("it {verb} {name}, which is not in the contract")),
        }
    }
    found.sort();
    found
}

/// Whether a core module says which world it is made for.
fn has_world(module: &[u8]) -> Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.context("the tool chain's module")?
            && section.name().starts_with("component-type")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the component itself, not what is nested in it, imports and exports.
fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding, .. } if depth == 0 && encoding != wasmparser::Encoding::Component => {
                anyhow::bail!("it is a core module")
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}
