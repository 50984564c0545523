//! Go: the standard compiler makes a core module for WASI preview 1 whose exports stay callable (`-buildmode=c-shared`, from Go 1.24 on).
//! The bindings are generated here; what Go's runtime wants of WASI is stubbed out.

use crate::{
    component::{Artefact, Wasi},
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::{Install, Tool},
};
use anyhow::{Context, Result};
use wit_bindgen_core::Files;
use wit_bindgen_go::{Format, Opts};
use wit_parser::WorldId;

pub(super) struct Go;

/// The module of `plugins/sdk/go`, which a project's `go.mod` replaces by `./sdk/go`.
const SDK: &str = "github.com/wasmilter/wasmilter/plugins/sdk/go";
/// What generated code imports of the generator's own module, and what the SDK has in its place: it says why.
const RUNTIME: &str = "go.bytecodealliance.org/pkg/wit/";
/// The only generated file that depends on the project's world: what the host calls.
const EXPORTS: &str = "wit_exports/wit_exports.go";

const GO: Tool = Tool {
    name: "go",
    ways: &[&["go"]],
    version: &["version"],
    at_least: "1.24",
    below: "",
    install: Install {
        debian: "apt-get install golang-go        # Debian 13 or later",
        fedora: "dnf install golang",
        macos: "brew install go",
        anywhere: "https://go.dev/doc/install",
    },
};

impl Language for Go {
    fn tools(&self) -> &'static [Tool] {
        &[GO]
    }

    fn prepare(&self, _project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()> {
        sdk.add_sdk("go", "go");
        // The SDK speaks of the whole contract; the linker leaves out what the plugin does not use.
        let policy = contract.resolve().packages.get(contract.policy()).context("the contract is missing")?;
        let whole = *policy.worlds.get("full-plugin").context("the contract has no world full-plugin")?;
        let whole = bindings(contract, whole)?;
        let own = bindings(contract, contract.world()?)?;
        let own = own.iter().filter(|(path, _)| *path == EXPORTS);
        for (path, code) in whole.iter().filter(|(path, _)| *path != EXPORTS).chain(own) {
            let code = std::str::from_utf8(code)?.replace(RUNTIME, &format!("{SDK}/internal/wit/"));
            sdk.add(format!("go/internal/bindings/{path}"), code);
        }
        Ok(())
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        let module = build.work()?.join("module.wasm");
        let mut go = build.tool(GO.name)?;
        go.env("GOOS", "wasip1").env("GOARCH", "wasm");
        // No paths of this machine and nothing of version control in the result: it is to be the same everywhere.
        go.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]);
        go.arg(&module).arg(".");
        build.run(go)?;
        Ok(Artefact::Module { bytes: build.read(&module)?, wasi: Wasi::Stub })
    }
}

/// Bindings for a world, with the SDK's paths for packages.
fn bindings(contract: &Contract, world: WorldId) -> Result<Files> {
    let options = Opts {
        // gofmt may not be there, and nobody reads these.
        format: Format::False,
        pkg_name: Some(format!("{SDK}/internal/bindings")),
        export_pkg_name: Some(format!("{SDK}/internal/exports")),
        ..Opts::default()
    };
    let mut files = Files::default();
    let mut resolve = contract.resolve().clone();
    options.build().generate(&mut resolve, world, &mut files).context("making Go bindings of the world")?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LanguageName,
        language::sample::{self, ALL_IMPORTS},
    };
    use std::{fs, path::Path};

    fn project(folder: &Path, policy: &str, world: &str) -> Project {
        let project = sample::project(LanguageName::Go, folder, Some(("main.go", policy)), Some(world));
        // It is about the policy of the template.
        fs::remove_file(folder.join("main_test.go")).unwrap();
        project
    }

    #[test]
    fn a_new_project_builds_and_needs_the_header_fields_only() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::create("subject-filter", LanguageName::Go, folder.path()).unwrap();
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers"], "what it does not use is not in it");
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
        assert_eq!(built.component.grants_needed, ["headers"]);
        assert!(built.size < 6_000_000, "{} bytes", built.size);

        // What the compiler says reaches the author.
        fs::write(folder.path().join("main.go"), "package main\n\nfunc main() { none() }\n").unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("main.go:3:15: undefined: none"), "{error}");
    }

    #[test]
    fn everything_of_the_sdk_and_the_contract_builds() {
        let folder = tempfile::tempdir().unwrap();
        let world = "include wasmilter:policy/full-plugin@1.0.0;";
        let built = project(folder.path(), include_str!("go/everything.go"), world).build(&()).unwrap();
        assert_eq!(built.component.imports, ALL_IMPORTS);
        assert_eq!(
            built.component.exports,
            ["lifecycle", "message-policy", "on-connect", "on-helo", "on-mail", "on-rcpt"]
        );
    }

    #[test]
    fn a_world_of_one_hook_has_nothing_but_that_hook() {
        let folder = tempfile::tempdir().unwrap();
        let world = "export wasmilter:policy/lifecycle@1.0.0; export wasmilter:policy/on-rcpt@1.0.0;";
        let policy = r#"package main
            import "github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
            type nobody struct{}
            func init() {
                policy.Register(policy.Info{Name: "none"}, struct{}{}, func(struct{}) (nobody, error) { return nobody{}, nil })
            }
            func main() {}
            func (nobody) Rcpt(*policy.Transaction, policy.Mailbox) (*policy.HookDecision, error) { return nil, nil }"#;
        let built = project(folder.path(), policy, world).build(&()).unwrap();
        assert_eq!(built.component.exports, ["lifecycle", "on-rcpt"]);
        assert_eq!(built.component.imports, [""; 0]);
    }

    #[test]
    fn generated_code_stands_on_the_sdk_alone() {
        let folder = tempfile::tempdir().unwrap();
        let world = "include wasmilter:policy/full-plugin@1.0.0;";
        project(folder.path(), include_str!("go/everything.go"), world).prepare().unwrap();
        let exports = fs::read_to_string(folder.path().join("sdk/go/internal/bindings").join(EXPORTS)).unwrap();
        assert!(exports.contains("/sdk/go/internal/wit/runtime\""), "the SDK's runtime is not used");
        assert!(!exports.contains("go.bytecodealliance.org"), "a module of the network is imported");
    }
}
