//! Python.

use crate::{
    component::Artefact,
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::Tool,
};
use anyhow::{Result, bail};

pub(super) struct Python;

impl Language for Python {
    fn tools(&self) -> &'static [Tool] {
        &[]
    }

    fn prepare(&self, _project: &Project, _contract: &Contract, _sdk: &mut Generated) -> Result<()> {
        bail!("plugins in Python can not be made yet")
    }

    fn build(&self, _build: &Build<'_>) -> Result<Artefact> {
        bail!("plugins in Python can not be built yet")
    }
}
