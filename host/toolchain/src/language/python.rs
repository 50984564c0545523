//! Python: componentize-py puts the interpreter, the SDK layer and the project's `policy.py` into a component. WASI is stubbed out
//! by it; the layer turns what would end in a stub into exceptions.

use crate::{
    component::Artefact,
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::{Install, Tool},
};
use anyhow::Result;

pub(super) struct Python;

/// The layer is written for the code that this version generates.
const COMPONENTIZE: Tool = Tool {
    name: "componentize-py",
    ways: &[&["componentize-py"]],
    version: &["--version"],
    at_least: "0.25.1",
    below: "0.26",
    install: Install {
        debian: "apt-get install python3-venv",
        fedora: "dnf install python3",
        macos: "brew install python",
        anywhere: "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
    },
};

impl Language for Python {
    fn tools(&self) -> &'static [Tool] {
        &[COMPONENTIZE]
    }

    fn prepare(&self, _project: &Project, _contract: &Contract, sdk: &mut Generated) -> Result<()> {
        sdk.add_sdk("python/wasmilter", "wasmilter");
        Ok(())
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        let component = build.work()?.join("component.wasm");
        let mut command = build.tool("componentize-py")?;
        command.args(["--quiet", "--wit-path", "sdk/world", "--world"]).arg(build.contract().full_world_name()?);
        command.args(["componentize", "--stub-wasi", "--python-path", ".", "--python-path", "sdk"]);
        command.arg("--output").arg(&component).arg("wasmilter.component");
        build.run(command)?;
        Ok(Artefact::Component(build.read(&component)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LanguageName;
    use std::fs;

    #[test]
    fn a_new_project_builds_and_imports_its_world_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::create("subject-filter", LanguageName::Python, folder.path()).unwrap();
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers", "log"]);
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
        assert_eq!(built.component.grants_needed, ["headers"]);

        // What Python says reaches the author, with its line.
        let source = folder.path().join("policy.py");
        fs::write(&source, fs::read_to_string(&source).unwrap() + "\nnonsense\n").unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("NameError") && error.contains("policy.py"), "{error}");
    }
}
