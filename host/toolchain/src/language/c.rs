//! C: zig's C compiler or clang makes a freestanding core module. There is no C library and no WASI: the SDK layer
//! (`plugins/sdk/c`) has the few functions that compilers want, and the module imports nothing but what it uses of the contract.

use crate::{
    component::{Artefact, Wasi},
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::{Install, Tool},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use wit_bindgen_core::Files;
use wit_parser::{WorldItem, WorldKey};

pub(super) struct C;

/// Zig's C compiler brings its linker along; clang wants lld beside it. The stack comes first in memory (with zig it does by
/// itself): running over its end then leaves the memory, which is noticed, and not into the plugin's data.
const COMPILER: Tool = Tool {
    name: "C compiler",
    ways: &[
        &["zig", "cc", "-target", "wasm32-freestanding", "-mcpu=mvp+bulk_memory"],
        &["python3", "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-mcpu=mvp+bulk_memory"],
        &["clang", "--target=wasm32", "-mcpu=mvp", "-mbulk-memory", "-Wl,--stack-first"],
        &["clang-22", "--target=wasm32", "-mcpu=mvp", "-mbulk-memory", "-Wl,--stack-first"],
        &["clang-19", "--target=wasm32", "-mcpu=mvp", "-mbulk-memory", "-Wl,--stack-first"],
        &["clang-16", "--target=wasm32", "-mcpu=mvp", "-mbulk-memory", "-Wl,--stack-first"],
        &["clang-14", "--target=wasm32", "-mcpu=mvp", "-mbulk-memory", "-Wl,--stack-first"],
    ],
    version: &["--version"],
    at_least: "14",
    below: "",
    install: Install {
        debian: "apt-get install clang lld",
        fedora: "dnf install clang lld",
        macos: "brew install zig",
        anywhere: "python3 -m venv .venv\n.venv/bin/pip install ziglang==0.17.0",
    },
};

impl Language for C {
    fn tools(&self) -> &'static [Tool] {
        &[COMPILER]
    }

    fn prepare(&self, project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()> {
        sdk.add_sdk("c", "");
        bindings(contract, sdk)?;
        sdk.add("schema.c", schema(project.folder())?);
        Ok(())
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        let module = build.work()?.join("module.wasm");
        let mut compile = build.tool(COMPILER.name)?;
        compile.args(["-std=c11", "-Oz", "-Wall", "-Wextra", "-ffreestanding", "-nostdlib", "-Isdk", "-Isdk/libc"]);
        compile.args(["-Wl,--no-entry", "-Wl,--strip-debug", "-Wl,-z,stack-size=262144"]);
        compile.arg("-o").arg(&module);
        compile.args(sources(build.project().folder())?).arg(Path::new("sdk").join(WORLD));
        build.run(compile).map_err(explain)?;
        Ok(Artefact::Module { bytes: build.read(&module)?, wasi: Wasi::None })
    }
}

/// Adds to what clang says when it is not made for WebAssembly, as Apple's is not, or lacks the linker.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let said = error.to_string();
    if said.contains("\"wasm-ld") {
        return error.context("clang has no linker for WebAssembly: install lld of the same version, or zig");
    }
    if said.contains("No available targets are compatible") {
        return error.context("this clang can not make WebAssembly: install zig, or clang and lld of LLVM");
    }
    error
}

/// An object file with the world in a custom section, which `contract.c` refers to.
const WORLD: &str = "contract_component_type.o";

/// Adds `contract.h`, `contract.c` and [`WORLD`]: the project's world by `wit-bindgen-c`. Interfaces have their own names there, without
/// those of the package, and macros tell which ones the world has (`WM_IMPORTS_STORE`, `WM_EXPORTS_ON_RCPT`).
fn bindings(contract: &Contract, sdk: &mut Generated) -> Result<()> {
    let mut resolve = contract.resolve().clone();
    let id = contract.world()?;
    let world = resolve.worlds.get(id).context("a world that is not there")?;
    let mut options =
        wit_bindgen_c::Opts { no_helpers: true, rename_world: Some("contract".to_owned()), ..Default::default() };
    let mut macros = String::new();
    for (verb, items) in [("IMPORTS", &world.imports), ("EXPORTS", &world.exports)] {
        for (key, item) in items {
            let WorldItem::Interface { id, .. } = item else { bail!("a world of a plugin names interfaces only") };
            let interface = resolve.interfaces.get(*id).and_then(|interface| interface.name.as_ref());
            let (Some(name), WorldKey::Interface(_)) = (interface, key) else {
                bail!("a world of a plugin has interfaces of the contract only")
            };
            let name = name.replace('-', "_");
            writeln!(macros, "#define WM_{verb}_{} 1", name.to_ascii_uppercase())?;
            let full = resolve.name_world_key(key);
            if !options.rename.iter().any(|(known, _)| *known == full) {
                options.rename.push((full, name));
            }
        }
    }
    let mut files = Files::default();
    options.build().generate(&mut resolve, id, &mut files)?;
    for (name, content) in files.iter() {
        match name {
            "contract.h" => sdk.add(name, [macros.as_bytes(), b"\n", content].concat()),
            _ => sdk.add(name, content),
        }
    }
    Ok(())
}

/// `schema.json` of the project as a C string, so that nobody has to write JSON inside C; `{}` when there is none.
fn schema(project: &Path) -> Result<String> {
    let file = project.join("schema.json");
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
        text => text.with_context(|| format!("reading {}", file.display()))?,
    };
    let schema: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| anyhow!("{}:{}: {error}", file.display(), error.line()))?;
    let mut bytes = String::new();
    for byte in schema.to_string().bytes() {
        write!(bytes, "{byte},")?;
    }
    Ok(format!(
        "/* Generated of schema.json. */\nextern const char wm_schema[];\nconst char wm_schema[] = {{{bytes}0}};\n"
    ))
}

/// All C files: of the project's folder, below `src/`, and of the SDK; in an order that does not change.
fn sources(project: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(project, Path::new(""), false, &mut files)?;
    if project.join("src").is_dir() {
        collect(project, Path::new("src"), true, &mut files)?;
    }
    ensure!(!files.is_empty(), "there is no C file in {} or below its folder src", project.display());
    collect(project, Path::new("sdk"), false, &mut files)?;
    Ok(files)
}

fn collect(project: &Path, folder: &Path, below: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    let absolute = project.join(folder);
    let mut names: Vec<_> = fs::read_dir(&absolute)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>())
        .with_context(|| format!("reading {}", absolute.display()))?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        if below && project.join(&path).is_dir() {
            collect(project, &path, below, files)?;
        } else if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LanguageName,
        language::sample::{self, ALL_IMPORTS},
    };

    fn project(folder: &Path, policy: Option<&str>, world: Option<&str>) -> Project {
        sample::project(LanguageName::C, folder, policy.map(|policy| ("policy.c", policy)), world)
    }

    #[test]
    fn a_new_project_builds_and_needs_the_header_fields_only() {
        let folder = tempfile::tempdir().unwrap();
        let built = project(folder.path(), None, None).build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers", "log"]);
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
        assert_eq!(built.component.grants_needed, ["headers"]);
        assert!(built.size < 30_000, "{} bytes", built.size);
    }

    #[test]
    fn everything_of_the_sdk_and_the_contract_builds() {
        let folder = tempfile::tempdir().unwrap();
        let world = "include wasmilter:policy/full-plugin@1.0.0;";
        let built = project(folder.path(), Some(include_str!("c/everything.c")), Some(world)).build(&()).unwrap();
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
        let policy = r#"#include "wasmilter.h"
            const wm_plugin plugin = {.name = "none", .version = "0.1.0"};
            void configure(const wm_json *config) { (void)config; }
            wm_verdict on_rcpt(const types_mailbox_t *recipient) {
                return wm_same_nocase(recipient->local, "root") ? wm_reject(550, "5.1.1", "nobody") : wm_next();
            }"#;
        let project = project(folder.path(), Some(policy), Some(world));
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.exports, ["lifecycle", "on-rcpt"]);
        assert_eq!(built.component.imports, [""; 0], "not even the log");

        // What the compiler says reaches the author.
        fs::write(folder.path().join("policy.c"), policy.replace("wm_next()", "wm_accept()")).unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("policy.c") && error.contains("wm_accept"), "{error}");
    }

    #[test]
    fn a_clang_that_is_not_made_for_webassembly_is_explained() {
        let said = |text: &str| format!("{:#}", explain(anyhow!(text.to_owned())));
        assert!(
            said("error: unable to execute command: Executable \"wasm-ld-14\" doesn't exist!")
                .starts_with("clang has no linker")
        );
        assert!(
            said("error: unable to create target: 'No available targets are compatible with triple \"wasm32\"'")
                .starts_with("this clang can not make WebAssembly")
        );
        assert_eq!(said("policy.c:1:1: error: expected identifier"), "policy.c:1:1: error: expected identifier");
    }

    #[test]
    fn a_schema_that_is_no_json_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let project = project(folder.path(), None, None);
        fs::write(folder.path().join("schema.json"), "{\n  \"type\": oops\n}").unwrap();
        let error = project.prepare().unwrap_err().to_string();
        assert!(error.contains("schema.json:2:"), "{error}");
    }
}
