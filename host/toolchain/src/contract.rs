//! What a plugin may import and export: the contract (`wit/` of the repository), and the project's own world, which
//! chooses from it.

use crate::{embedded, generated::Generated};
use anyhow::{Context, Result, anyhow, bail};
use std::{fs, path::Path};
use wit_parser::{PackageId, Resolve, SourceMap, WorldId};

/// Where the contract stands below the project's world: tools look for dependencies in `deps/`.
const DEPENDENCY: &str = "world/deps/wasmilter-policy";

/// The contract and the project's world, parsed.
#[derive(Debug, Clone)]
pub struct Contract {
    resolve: Resolve,
    policy: PackageId,
    world: Option<WorldId>,
}

impl Contract {
    /// Reads the world of a project (`wit/*.wit`) against the contract. Adds the contract alone as `sdk/wit/`, and the project's
    /// world with the contract below it as `sdk/world/`: a folder that every tool for WIT takes as it is.
    pub(crate) fn read(project: &Path, sdk: &mut Generated) -> Result<Self> {
        let mut resolve = Resolve::default();
        let mut contract = SourceMap::new();
        for (path, bytes) in embedded::CONTRACT.iter().filter(|(path, _)| path.ends_with(".wit")) {
            contract.push_str(path, std::str::from_utf8(bytes)?);
            sdk.add(format!("wit/{path}"), *bytes);
        }
        let contract = contract.parse().map_err(|(sources, error)| anyhow!(error.render(&sources)))?;
        let policy = resolve.push_group(contract)?;

        let Some(world) = own_files(project, sdk)? else { return Ok(Self { resolve, policy, world: None }) };
        let world = world.parse().map_err(|(sources, error)| anyhow!(error.render(&sources)))?;
        for (path, bytes) in embedded::CONTRACT.iter().filter(|(path, _)| path.ends_with(".wit")) {
            sdk.add(format!("{DEPENDENCY}/{path}"), *bytes);
        }
        let package = resolve.push_group(world)?;
        let world = select(&resolve, package)?;
        Ok(Self { resolve, policy, world: Some(world) })
    }

    /// Everything that was parsed.
    pub fn resolve(&self) -> &Resolve {
        &self.resolve
    }

    /// The package `wasmilter:policy`.
    pub fn policy(&self) -> PackageId {
        self.policy
    }

    /// The project's world.
    ///
    /// # Errors
    /// When it has none.
    pub fn world(&self) -> Result<WorldId> {
        self.world.context("wit/world.wit is missing: it names what the plugin imports and exports")
    }

    /// The name of the project's world, such as `plugin`.
    ///
    /// # Errors
    /// When it has none.
    pub fn world_name(&self) -> Result<&str> {
        let world = self.world()?;
        Ok(&self.resolve.worlds.get(world).context("a world that is not there")?.name)
    }

    /// The project's world with its package, such as `local:plugin/plugin`.
    ///
    /// # Errors
    /// When it has none.
    pub fn full_world_name(&self) -> Result<String> {
        let world = self.resolve.worlds.get(self.world()?).context("a world that is not there")?;
        let package =
            world.package.and_then(|id| self.resolve.packages.get(id)).context("a world without a package")?;
        Ok(package.name.interface_id(&world.name))
    }
}

/// The `.wit` files of the project; None when there are none.
fn own_files(project: &Path, sdk: &mut Generated) -> Result<Option<SourceMap>> {
    let folder = project.join("wit");
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut sources = SourceMap::new();
    let mut any = false;
    let mut entries: Vec<_> = fs::read_dir(&folder)
        .and_then(Iterator::collect::<std::io::Result<_>>)
        .with_context(|| format!("reading {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".wit") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
        sources.push_str(&format!("wit/{name}"), &*text);
        sdk.add(format!("world/{name}"), text);
        any = true;
    }
    Ok(any.then_some(sources))
}

/// The only world, or the one named `plugin`.
fn select(resolve: &Resolve, package: PackageId) -> Result<WorldId> {
    let package = resolve.packages.get(package).context("a package that is not there")?;
    match package.worlds.iter().collect::<Vec<_>>().as_slice() {
        [] => bail!("wit/ has no world: it must name what the plugin imports and exports"),
        [(_, only)] => Ok(**only),
        several => several.iter().find(|(name, _)| *name == "plugin").map(|(_, world)| **world).with_context(|| {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            format!("wit/ has several worlds ({}): name one of them `plugin`", names.join(", "))
        }),
    }
}
