//! Zig: the compiler makes a freestanding core module, without C and without WASI. Zig can name imports and exports as the
//! canonical ABI wants them, and lays `extern struct`s out as it does; so `sdk/contract.zig` is written here, from the
//! contract with its doc comments, and the SDK layer (`plugins/sdk/zig`) stands on that.

use crate::{
    component::{Artefact, Wasi},
    contract::Contract,
    generated::Generated,
    language::{Build, Language},
    project::Project,
    tool::{Install, Tool},
};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use wit_parser::{Docs, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

pub(super) struct Zig;

const COMPILER: Tool = Tool {
    name: "Zig",
    ways: &[&["zig"], &["python3", "-m", "ziglang"]],
    version: &["version"],
    at_least: "0.15",
    below: "",
    install: Install {
        debian: "apt-get install python3-venv\npython3 -m venv .venv\n.venv/bin/pip install ziglang==0.17.0",
        fedora: "dnf install zig",
        macos: "brew install zig",
        anywhere: "",
    },
};

/// The file that the compiler begins with.
const ROOT: &str = "policy.zig";

impl Language for Zig {
    fn tools(&self) -> &'static [Tool] {
        &[COMPILER]
    }

    fn prepare(&self, _project: &Project, contract: &Contract, sdk: &mut Generated) -> Result<()> {
        sdk.add_sdk("zig", "");
        sdk.add("contract.zig", bindings(contract)?);
        Ok(())
    }

    fn build(&self, build: &Build<'_>) -> Result<Artefact> {
        ensure!(
            build.project().folder().join(ROOT).is_file(),
            "{ROOT} is missing: it is what the compiler begins with"
        );
        let module = build.work()?.join("module.wasm");
        let mut compile = build.tool(COMPILER.name)?;
        // Safe: an index out of bounds is a failure that the host sees, not a wrong decision.
        compile.args(["build-exe", "-target", "wasm32-freestanding", "-mcpu=mvp+bulk_memory", "-OReleaseSafe"]);
        compile.args(["-fno-entry", "-rdynamic", "-fstrip", "--stack", "262144"]);
        compile.arg(format!("-femit-bin={}", module.display()));
        compile.args(["--dep", "wasmilter", &format!("-Mroot={ROOT}"), "-Mwasmilter=sdk/wasmilter.zig"]);
        build.run(compile)?;
        Ok(Artefact::Module { bytes: build.read(&module)?, wasi: Wasi::None })
    }
}

const HEAD: &str = r#"//! The contract between Wasmilter and its plugins, as Zig sees it. Generated of the WIT; policies use `wasmilter.zig`.

/// UTF-8, as it lies in memory.
pub const Text = List(u8);

/// A list as it lies in memory: elements of `extern` types.
pub fn List(comptime T: type) type {
    return extern struct {
        ptr: usize = @alignOf(T),
        len: usize = 0,

        const Self = @This();

        pub fn slice(self: Self) []const T {
            if (self.len == 0) return &.{};
            return @as([*]const T, @ptrFromInt(self.ptr))[0..self.len];
        }

        pub fn from(elements: []const T) Self {
            if (elements.len == 0) return .{};
            return .{ .ptr = @intFromPtr(elements.ptr), .len = elements.len };
        }
    };
}

/// Something or nothing, as it lies in memory.
pub fn Option(comptime T: type) type {
    return extern struct {
        is_some: bool,
        value: T,

        pub fn get(self: @This()) ?T {
            return if (self.is_some) self.value else null;
        }
    };
}

/// A result, as it lies in memory.
pub fn Result(comptime Ok: type, comptime Err: type) type {
    return extern struct {
        is_err: bool,
        value: extern union { ok: Ok, err: Err },
    };
}

/// What a call that can fail gave.
pub fn Outcome(comptime Ok: type, comptime Err: type) type {
    return union(enum) { ok: Ok, err: Err };
}
"#;

/// `contract.zig`: every interface of the contract. What a policy does not use costs nothing.
fn bindings(contract: &Contract) -> Result<String> {
    let resolve = contract.resolve();
    let package = resolve.packages.get(contract.policy()).context("the contract is not there")?;
    let imports = package.worlds.get("imports").and_then(|id| resolve.worlds.get(*id));
    let imports = &imports.context("the contract has no world of imports")?.imports;
    let mut zig = HEAD.to_owned();
    writeln!(zig, "\npub const package = \"{}:{}\";", package.name.namespace, package.name.name)?;
    let version = package.name.version.as_ref().context("the contract has no version")?;
    writeln!(zig, "pub const version = \"{version}\";")?;
    for (name, id) in &package.interfaces {
        let interface = resolve.interfaces.get(*id).context("an interface that is not there")?;
        zig.push('\n');
        docs(&mut zig, "", &interface.docs)?;
        writeln!(zig, "pub const {} = struct {{", identifier(&name.replace('-', "_")))?;
        for (name, id) in &interface.types {
            named_type(&mut zig, resolve, name, resolve.types.get(*id).context("a type that is not there")?)?;
        }
        // What a plugin exports is called by the host; `wasmilter.zig` has those functions.
        let is_imported = |item: &WorldItem| matches!(item, WorldItem::Interface { id: import, .. } if import == id);
        if imports.values().any(is_imported) {
            let functions: Vec<_> =
                interface.functions.values().map(|function| Import::of(resolve, function)).collect::<Result<_>>()?;
            writeln!(zig, "    const host = struct {{")?;
            for function in &functions {
                let full = package.name.interface_id(name);
                writeln!(
                    zig,
                    "        extern {full:?} fn @{:?}({}) {};",
                    function.name,
                    function.lowered.join(", "),
                    function.returns
                )?;
            }
            writeln!(zig, "    }};")?;
            for function in &functions {
                docs(&mut zig, "    ", function.docs)?;
                zig.push_str(&function.wrapper());
            }
        }
        writeln!(zig, "}};")?;
    }
    Ok(zig)
}

fn named_type(zig: &mut String, resolve: &Resolve, name: &str, definition: &TypeDef) -> Result<()> {
    docs(zig, "    ", &definition.docs)?;
    let name = pascal(name);
    match &definition.kind {
        TypeDefKind::Record(record) => {
            writeln!(zig, "    pub const {name} = extern struct {{")?;
            for field in &record.fields {
                docs(zig, "        ", &field.docs)?;
                let field_type = in_memory(resolve, &field.ty)?;
                // What is often left out may be left out.
                let default = if field_type.starts_with("List(") || field_type == "Text" { " = .{}" } else { "" };
                writeln!(zig, "        {}: {field_type}{default},", identifier(&field.name.replace('-', "_")))?;
            }
            writeln!(zig, "    }};")?;
        }
        TypeDefKind::Enum(cases) => {
            writeln!(zig, "    pub const {name} = enum(u8) {{")?;
            for case in &cases.cases {
                docs(zig, "        ", &case.docs)?;
                writeln!(zig, "        {},", identifier(&case.name.replace('-', "_")))?;
            }
            writeln!(zig, "    }};")?;
        }
        TypeDefKind::Variant(variant) => {
            writeln!(zig, "    pub const {name} = extern struct {{\n        tag: enum(u8) {{")?;
            for case in &variant.cases {
                docs(zig, "            ", &case.docs)?;
                writeln!(zig, "            {},", identifier(&case.name.replace('-', "_")))?;
            }
            writeln!(zig, "        }},\n        value: extern union {{")?;
            for case in &variant.cases {
                let payload = case.ty.as_ref().map_or_else(|| Ok("void".to_owned()), |ty| in_memory(resolve, ty))?;
                writeln!(zig, "            {}: {payload},", identifier(&case.name.replace('-', "_")))?;
            }
            writeln!(zig, "        }},\n    }};")?;
        }
        TypeDefKind::Type(ty) => writeln!(zig, "    pub const {name} = {};", in_memory(resolve, ty)?)?,
        other => bail!("the contract has a type that Zig's bindings do not know: {}", other.as_str()),
    }
    Ok(())
}

/// A function that the host has: as it is called, and as policies call it.
struct Import<'a> {
    name: &'a str,
    docs: &'a Docs,
    /// Parameters of the canonical ABI.
    lowered: Vec<String>,
    /// What the ABI's function returns itself; everything larger goes to where its last parameter points.
    returns: String,
    /// Parameters for policies, and what is handed on for them.
    parameters: Vec<String>,
    arguments: Vec<String>,
    result: Lifted,
}

/// What a policy gets for what lies in memory.
enum Lifted {
    /// The value that the function returns, or nothing.
    AsItIs,
    /// Type in memory, type for policies, and the expression that makes this of that (`result`).
    FromMemory { memory: String, policy: String, expression: String },
}

impl<'a> Import<'a> {
    fn of(resolve: &Resolve, function: &'a Function) -> Result<Self> {
        let mut import = Self {
            name: &function.name,
            docs: &function.docs,
            lowered: Vec::new(),
            returns: "void".to_owned(),
            parameters: Vec::new(),
            arguments: Vec::new(),
            result: Lifted::AsItIs,
        };
        for parameter in &function.params {
            let name = identifier(&parameter.name.replace('-', "_"));
            let memory = in_memory(resolve, &parameter.ty)?;
            match element(&memory) {
                Some(element) => {
                    import.lowered.extend(["usize".to_owned(), "usize".to_owned()]);
                    import.arguments.extend([format!("List({element}).from({name}).ptr"), format!("{name}.len")]);
                    import.parameters.push(format!("{name}: []const {element}"));
                }
                None => {
                    import.lowered.push(memory.clone());
                    import.arguments.push(name.clone());
                    import.parameters.push(format!("{name}: {memory}"));
                }
            }
        }
        let Some(result) = &function.result else { return Ok(import) };
        let memory = in_memory(resolve, result)?;
        if matches!(result, Type::U32 | Type::F64 | Type::Bool) {
            import.returns = memory;
            return Ok(import);
        }
        let (policy, expression) = lifted(resolve, result, "result")?;
        import.lowered.push(format!("*{memory}"));
        import.arguments.push("&result".to_owned());
        import.result = Lifted::FromMemory { memory, policy, expression };
        Ok(import)
    }

    fn wrapper(&self) -> String {
        let call = format!("host.@{:?}({})", self.name, self.arguments.join(", "));
        let head = format!("    pub fn {}({})", camel(self.name), self.parameters.join(", "));
        match &self.result {
            Lifted::AsItIs => format!("{head} {} {{\n        return {call};\n    }}\n", self.returns),
            Lifted::FromMemory { memory, policy, expression } => format!(
                "{head} {policy} {{\n        var result: {memory} = undefined;\n        {call};\n        return {expression};\n    }}\n"
            ),
        }
    }
}

/// The type that policies see for a type in memory, and how `value` becomes it.
fn lifted(resolve: &Resolve, ty: &Type, value: &str) -> Result<(String, String)> {
    let memory = in_memory(resolve, ty)?;
    if let Some(element) = element(&memory) {
        return Ok((format!("[]const {element}"), format!("{value}.slice()")));
    }
    let kind = match ty {
        Type::Id(id) => &resolve.types.get(*id).context("a type that is not there")?.kind,
        _ => return Ok((memory, value.to_owned())),
    };
    match kind {
        TypeDefKind::Option(some) => {
            let (policy, expression) = lifted(resolve, some, &format!("{value}.value"))?;
            Ok((format!("?{policy}"), format!("if ({value}.is_some) {expression} else null")))
        }
        TypeDefKind::Result(result) => {
            let case = |ty: &Option<Type>, name: &str| match ty {
                Some(ty) => lifted(resolve, ty, &format!("{value}.value.{name}")),
                None => Ok(("void".to_owned(), "{}".to_owned())),
            };
            let ((ok, ok_is), (err, err_is)) = (case(&result.ok, "ok")?, case(&result.err, "err")?);
            let expression = format!("if ({value}.is_err) .{{ .err = {err_is} }} else .{{ .ok = {ok_is} }}");
            Ok((format!("Outcome({ok}, {err})"), expression))
        }
        _ => Ok((memory, value.to_owned())),
    }
}

/// The element of a list's type in memory.
fn element(memory: &str) -> Option<&str> {
    if memory == "Text" { Some("u8") } else { memory.strip_prefix("List(")?.strip_suffix(')') }
}

/// The type with the layout of the canonical ABI.
fn in_memory(resolve: &Resolve, ty: &Type) -> Result<String> {
    let id = match ty {
        Type::Bool => return Ok("bool".to_owned()),
        Type::U8 => return Ok("u8".to_owned()),
        Type::U32 => return Ok("u32".to_owned()),
        Type::F64 => return Ok("f64".to_owned()),
        Type::String => return Ok("Text".to_owned()),
        Type::Id(id) => *id,
        other => bail!("the contract has a type that Zig's bindings do not know: {other:?}"),
    };
    let definition = resolve.types.get(id).context("a type that is not there")?;
    if let Some(name) = &definition.name {
        let wit_parser::TypeOwner::Interface(owner) = definition.owner else {
            bail!("a type outside of interfaces: {name}")
        };
        return Ok(format!("{}.{}", interface_name(resolve, owner)?, pascal(name)));
    }
    let or_void = |ty: &Option<Type>| ty.as_ref().map_or_else(|| Ok("void".to_owned()), |ty| in_memory(resolve, ty));
    match &definition.kind {
        TypeDefKind::List(element) => Ok(format!("List({})", in_memory(resolve, element)?)),
        TypeDefKind::Option(some) => Ok(format!("Option({})", in_memory(resolve, some)?)),
        TypeDefKind::Result(result) => Ok(format!("Result({}, {})", or_void(&result.ok)?, or_void(&result.err)?)),
        other => bail!("the contract has a type that Zig's bindings do not know: {}", other.as_str()),
    }
}

fn interface_name(resolve: &Resolve, id: InterfaceId) -> Result<String> {
    let name = resolve.interfaces.get(id).and_then(|interface| interface.name.as_ref());
    Ok(identifier(&name.context("an interface without a name")?.replace('-', "_")))
}

fn docs(zig: &mut String, indent: &str, docs: &Docs) -> Result<()> {
    for line in docs.contents.iter().flat_map(|text| text.trim().lines()) {
        writeln!(zig, "{}", format!("{indent}/// {line}").trim_end())?;
    }
    Ok(())
}

/// Words of Zig that can not be names.
const KEYWORDS: &str = "addrspace align allowzero and anyframe anytype asm break callconv catch comptime const continue defer else enum errdefer error export extern fn for if inline linksection noalias noinline nosuspend opaque or orelse packed pub resume return struct suspend switch test threadlocal try type union unreachable var volatile while";

fn identifier(name: &str) -> String {
    if KEYWORDS.split(' ').any(|keyword| keyword == name) { format!("@{name:?}") } else { name.to_owned() }
}

/// `header-field` → `HeaderField`
fn pascal(name: &str) -> String {
    let mut pascal = String::new();
    for word in name.split('-') {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    pascal
}

/// `mail-exchangers` → `mailExchangers`
fn camel(name: &str) -> String {
    let (first, rest) = name.split_once('-').unwrap_or((name, ""));
    identifier(&format!("{first}{}", pascal(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LanguageName,
        language::sample::{self, ALL_IMPORTS},
    };
    use std::{fs, path::Path};

    fn project(folder: &Path, policy: Option<&str>, world: Option<&str>) -> Project {
        sample::project(LanguageName::Zig, folder, policy.map(|policy| (ROOT, policy)), world)
    }

    #[test]
    fn a_new_project_builds_and_needs_the_header_fields_only() {
        let folder = tempfile::tempdir().unwrap();
        let built = project(folder.path(), None, None).build(&()).unwrap();
        assert_eq!(built.component.imports, ["headers", "log"]);
        assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
        assert_eq!(built.component.grants_needed, ["headers"]);
        assert!(built.size < 100_000, "{} bytes", built.size);
    }

    #[test]
    fn everything_of_the_sdk_and_the_contract_builds() {
        let folder = tempfile::tempdir().unwrap();
        let world = "include wasmilter:policy/full-plugin@1.0.0;";
        let built = project(folder.path(), Some(include_str!("zig/everything.zig")), Some(world)).build(&()).unwrap();
        assert_eq!(built.component.imports, ALL_IMPORTS);
        assert_eq!(
            built.component.exports,
            ["lifecycle", "message-policy", "on-connect", "on-helo", "on-mail", "on-rcpt"]
        );
    }

    #[test]
    fn what_the_world_does_not_name_can_not_be_called_and_mistakes_reach_the_author() {
        let folder = tempfile::tempdir().unwrap();
        let policy = fs::read_to_string(project(folder.path(), None, None).folder().join(ROOT)).unwrap();
        let stored =
            policy.replace("wm.header(\"Subject\")", "if (wm.store.remove(\"key\") == .ok) \"yes\" else \"no\"");
        assert_ne!(stored, policy);
        fs::write(folder.path().join(ROOT), stored).unwrap();
        let project = Project::open(folder.path()).unwrap();
        let error = format!("{:#}", project.build(&()).unwrap_err());
        assert!(error.contains("wasmilter:policy/store@1.0.0"), "{error}");

        fs::write(folder.path().join(ROOT), policy.replace("wm.header(", "wm.no_such_function(")).unwrap();
        let error = project.build(&()).unwrap_err().to_string();
        assert!(error.contains("policy.zig") && error.contains("no_such_function"), "{error}");
    }

    #[test]
    fn names_become_those_of_zig() {
        assert_eq!(pascal("header-field"), "HeaderField");
        assert_eq!(camel("mail-exchangers"), "mailExchangers");
        assert_eq!(camel("all"), "all");
        assert_eq!(identifier("error"), "@\"error\"");
    }
}
