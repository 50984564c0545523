//! JavaScript and TypeScript.

use crate::{
    component::Artefact,
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::Tool,
};
use anyhow::{Result, bail};

pub(super) struct JavaScript;

impl Language for JavaScript {
    fn tools(&self) -> &'static [Tool] {
        &[]
    }

    fn prepare(&self, _project: &Project, _contract: &Contract, _sdk: &mut Generated) -> Result<()> {
        bail!("plugins in JavaScript can not be made yet")
    }

    fn build(&self, _build: &Build<'_>) -> Result<Artefact> {
        bail!("plugins in JavaScript can not be built yet")
    }
}

pub(super) struct TypeScript;

impl Language for TypeScript {
    fn tools(&self) -> &'static [Tool] {
        &[]
    }

    fn prepare(&self, _project: &Project, _contract: &Contract, _sdk: &mut Generated) -> Result<()> {
        bail!("plugins in TypeScript can not be made yet")
    }

    fn build(&self, _build: &Build<'_>) -> Result<Artefact> {
        bail!("plugins in TypeScript can not be built yet")
    }
}
