//! JavaScript and TypeScript: esbuild makes one file of the project's `policy.js` or `policy.ts` and the SDK layer, an
//! engine is put around it. WASI is stubbed out; the layer turns what would end in a stub into something that works or says why not.

mod flat;

use crate::{
    component::Artefact,
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::{Engine, Project},
    tool::{self, Install, Tool},
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use wit_parser::WorldItem;

pub(super) struct JavaScript;
pub(super) struct TypeScript;

const NODE: Tool = Tool {
    name: "node",
    ways: &[&["node"]],
    version: &["--version"],
    at_least: "20",
    below: "",
    install: Install {
        debian: "apt-get install nodejs npm",
        fedora: "dnf install nodejs npm",
        macos: "brew install node",
        anywhere: "",
    },
};

/// Of npm: the same everywhere.
const fn of_npm(command: &'static str) -> Install {
    Install { debian: "", fedora: "", macos: "", anywhere: command }
}

const ESBUILD: Tool = Tool {
    name: "esbuild",
    ways: &[&["esbuild"]],
    version: &["--version"],
    at_least: "0.25",
    below: "",
    install: of_npm("npm install --save-dev --save-exact esbuild@0.28.2"),
};

const QUICKJS: Tool = Tool {
    name: "componentize-qjs",
    ways: &[&["componentize-qjs"]],
    // It does not tell its version.
    version: &["--help"],
    at_least: "",
    below: "",
    install: of_npm("npm install --save-dev --save-exact componentize-qjs@0.4.5"),
};

const STARLINGMONKEY: Tool = Tool {
    name: "componentize-js",
    ways: &[&["componentize-js"]],
    version: &["--version"],
    at_least: "0.23",
    below: "0.24",
    install: of_npm("npm install --save-dev --save-exact @bytecodealliance/componentize-js@0.23.0"),
};

const TYPESCRIPT: Tool = Tool {
    name: "tsc",
    ways: &[&["tsc"]],
    version: &["--version"],
    at_least: "5.5",
    below: "",
    install: of_npm("npm install --save-dev --save-exact typescript@7.0.2"),
};

impl Language for JavaScript {
    fn tools(&self) -> &'static [Tool] {
        &[NODE, ESBUILD]
    }

    fn prepare(&self, _project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()> {
        prepare("policy.js", contract, sdk)
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        component(build)
    }
}

impl Language for TypeScript {
    fn tools(&self) -> &'static [Tool] {
        &[NODE, ESBUILD, TYPESCRIPT]
    }

    fn prepare(&self, _project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()> {
        prepare("policy.ts", contract, sdk)
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        build.step("checking types");
        let mut check = build.tool("tsc")?;
        check.args(["--noEmit", "--project", "tsconfig.json"]);
        build.run(check)?;
        component(build)
    }
}

/// The layer, and the entry over it: an engine must be told by `import` and `export` what the world has.
fn prepare(policy: &str, contract: &Contract, sdk: &mut Generated) -> Result<()> {
    sdk.add_sdk("javascript/src", "");
    let world = contract.resolve().worlds.get(contract.world()?).context("a world that is not there")?;
    let named = |items: &mut dyn Iterator<Item = &WorldItem>| -> Vec<(String, String)> {
        items.filter_map(|item| interface(contract, item)).collect()
    };
    let imports = named(&mut world.imports.values());
    let exports = named(&mut world.exports.values());
    sdk.add("component.js", entry(policy, &imports, &exports)?);
    Ok(())
}

/// An interface of the contract with functions: its name, and its name with package and version.
fn interface(contract: &Contract, item: &WorldItem) -> Option<(String, String)> {
    let WorldItem::Interface { id, .. } = item else { return None };
    let found = contract.resolve().interfaces.get(*id)?;
    if found.package != Some(contract.policy()) || found.functions.is_empty() {
        return None;
    }
    Some((found.name.clone()?, contract.resolve().id_of(*id)?))
}

fn entry(policy: &str, imports: &[(String, String)], exports: &[(String, String)]) -> Result<String> {
    let mut text =
        String::from("// Written of wit/world.wit by every build: what the engine makes the component of.\n\n");
    // First: the policy's own modules may use what it mends.
    writeln!(text, "import \"./wasmilter/sandbox.js\";")?;
    writeln!(text, "import {{ exportsOf }} from \"./wasmilter/component.js\";")?;
    writeln!(text, "import {{ host }} from \"./wasmilter/host.js\";")?;
    writeln!(text, "import policy from \"../{policy}\";")?;
    for (name, full) in imports {
        writeln!(text, "import * as {} from \"{full}\";", camel(name))?;
    }
    let names = |list: &[(String, String)]| list.iter().map(|(name, _)| camel(name)).collect::<Vec<_>>().join(", ");
    writeln!(text, "\nObject.assign(host, {{ {} }});", names(imports))?;
    writeln!(text, "export const {{ {} }} = exportsOf(policy);", names(exports))?;
    Ok(text)
}

/// `message-policy` as it is exported: `messagePolicy`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (head, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        camel + &head.to_uppercase() + rest
    })
}

fn component(build: &Build<'_>) -> Result<Artefact> {
    let work = build.work()?;
    let source = bundle(build, &work)?;
    let component = work.join("component.wasm");
    let world = build.contract().world_name()?;
    let bytes = match build.project().engine() {
        Engine::QuickJs => {
            let mut command = engine(build, QUICKJS)?;
            command.args(["--sync", "--wit", "sdk/world", "--world", world, "--js"]);
            command.arg(&source).arg("--output").arg(&component);
            build.run(command)?;
            flat::of_quickjs(&build.read(&component)?)?
        }
        Engine::StarlingMonkey => {
            let mut command = engine(build, STARLINGMONKEY)?;
            command.arg(&source).args(["--wit", "sdk/world", "--world-name", world, "--out"]).arg(&component);
            command.args(["--disable", "stdio", "random", "clocks", "http", "fetch-event"]);
            build.run(command)?;
            build.read(&component)?
        }
    };
    Ok(Artefact::Component(bytes))
}

/// The tool of the project's engine: only that one is needed.
fn engine(build: &Build<'_>, engine: Tool) -> Result<Command> {
    let folder = build.project().folder();
    let found = tool::find_all(build.project().language().in_words(), &[engine], folder)?;
    let mut command = found.first().context("a tool that was found")?.command();
    command.current_dir(folder);
    Ok(command)
}

/// One module of everything, with a table of where its lines come from below it.
fn bundle(build: &Build<'_>, work: &Path) -> Result<PathBuf> {
    let bundle = work.join("bundle.js");
    let mut command = build.tool("esbuild")?;
    command.args(["sdk/component.js", "--bundle", "--format=esm", "--target=es2023", "--platform=neutral"]);
    command.args(["--main-fields=module,main", "--charset=utf8", "--external:wasmilter:*", "--log-level=warning"]);
    command.args(["--sourcemap=external", "--sources-content=false"]);
    command.arg(format!("--outfile={}", bundle.display()));
    build.run(command)?;
    let map: SourceMap = serde_json::from_slice(&build.read(&bundle.with_extension("js.map"))?)
        .context("reading the source map that esbuild made")?;
    let lines = serde_json::to_string(&serde_json::json!({ "files": map.sources, "lines": lines(&map.mappings) }))?;
    let mut source = String::from_utf8(build.read(&bundle)?).context("reading the bundle that esbuild made")?;
    write!(source, "\nglobalThis.wasmilterLines = {lines};\n")?;
    let plugin = work.join("plugin.js");
    fs::write(&plugin, source).with_context(|| format!("writing {}", plugin.display()))?;
    Ok(plugin)
}

/// What is read of a source map (ECMA-426).
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

/// For each line of the bundle, the file and the line (both counted from 0) where its first piece comes from.
fn lines(mappings: &str) -> Vec<Option<(i64, i64)>> {
    let (mut file, mut line) = (0_i64, 0_i64);
    let mut table = Vec::new();
    for segments in mappings.split(';') {
        let mut first = None;
        for segment in segments.split(',') {
            // Column, file, line, column of the source, name; each relative to the one before.
            if let [_, files, lines, ..] = numbers(segment).as_slice() {
                file = file.saturating_add(*files);
                line = line.saturating_add(*lines);
                first = first.or(Some((file, line)));
            }
        }
        table.push(first);
    }
    table
}

/// Numbers of a segment: base 64, five bits a digit, lowest first; the sign is the lowest bit of all.
fn numbers(segment: &str) -> Vec<i64> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut numbers = Vec::new();
    let (mut value, mut shift) = (0_i64, 0_u32);
    for digit in segment.chars() {
        let Some(bits) = DIGITS.find(digit).and_then(|at| i64::try_from(at).ok()) else { break };
        value |= (bits & 31).checked_shl(shift).unwrap_or(0);
        shift = shift.saturating_add(5);
        if bits & 32 == 0 {
            numbers.push(if value & 1 == 1 { (value >> 1).saturating_neg() } else { value >> 1 });
            (value, shift) = (0, 0);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LanguageName;

    #[test]
    fn a_new_project_in_javascript_builds_and_imports_its_world_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::create("subject-filter", LanguageName::Js, folder.path()).unwrap();
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers", "log"]);
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
        assert_eq!(built.component.grants_needed, ["headers"]);
        assert!(built.size < 2_500_000, "{} bytes", built.size);

        let source = folder.path().join("policy.js");
        fs::write(&source, fs::read_to_string(&source).unwrap() + "\nlet;\n").unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("policy.js:") && error.contains("reserved word"), "{error}");
    }

    #[test]
    fn everything_of_the_sdk_and_the_contract_builds() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::create("everything", LanguageName::Js, folder.path()).unwrap();
        fs::write(folder.path().join("policy.js"), include_str!("javascript/everything.js")).unwrap();
        let world = "package local:plugin;\nworld plugin { include wasmilter:policy/full-plugin@1.0.0; }";
        fs::write(folder.path().join("wit/world.wit"), world).unwrap();
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.imports.len(), 13, "{:?}", built.component.imports);
        assert_eq!(
            built.component.exports,
            ["lifecycle", "message-policy", "on-connect", "on-helo", "on-mail", "on-rcpt"]
        );
    }

    #[test]
    fn a_new_project_in_typescript_builds_and_its_types_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::create("subject-filter", LanguageName::Ts, folder.path()).unwrap();
        let built = project.build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers", "log"]);
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);

        let source = folder.path().join("policy.ts");
        let wrong = fs::read_to_string(&source).unwrap().replace("message.subject", "message.subjekt");
        fs::write(&source, wrong).unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("policy.ts(") && error.contains("'subjekt' does not exist"), "{error}");
    }

    #[test]
    fn lines_of_the_bundle_are_found_in_the_sources() {
        assert_eq!(numbers("AAgBC"), [0, 0, 16, 1]);
        assert_eq!(numbers("D"), [-1]);
        // Nothing; file 0 line 0; line 1 twice; nothing; file 1 line 0.
        assert_eq!(lines(";AAAA;AACA,IAAI;;ACDJ"), [None, Some((0, 0)), Some((0, 1)), None, Some((1, 0))]);
    }

    #[test]
    fn the_entry_names_what_the_world_has() {
        let named = |name: &str| (name.to_owned(), format!("wasmilter:policy/{name}@1.0.0"));
        let entry = entry("policy.ts", &[named("headers")], &[named("lifecycle"), named("message-policy")]).unwrap();
        assert!(entry.contains("import * as headers from \"wasmilter:policy/headers@1.0.0\";"), "{entry}");
        assert!(entry.contains("import policy from \"../policy.ts\";"), "{entry}");
        assert!(entry.contains("export const { lifecycle, messagePolicy } = exportsOf(policy);"), "{entry}");
    }
}
