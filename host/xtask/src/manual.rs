//! `cargo xtask manual`: the reference manual of the contract, `wit/REFERENCE.md`, out of the WIT's doc comments.

use crate::root;
use anyhow::{Context, Result, bail};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use wit_parser::{Docs, Function, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeId, World, WorldItem};

/// The chapters: title and interfaces, in the order in which an author meets them. Every interface stands in exactly one.
const CHAPTERS: [(&str, &[&str]); 4] = [
    (
        "What a plugin exports",
        &["lifecycle", "message-policy", "hook-types", "on-connect", "on-helo", "on-mail", "on-rcpt"],
    ),
    ("The message", &["client", "envelope", "headers", "parts", "raw", "facts"]),
    ("The host", &["output", "services", "dns", "store", "clock", "random", "log"]),
    ("Shared types", &["types"]),
];

/// Writes the manual.
pub(crate) fn write() -> Result<()> {
    let manual = generate(&root().join("wit"))?;
    fs::write(path(), manual).with_context(|| format!("writing {}", path().display()))
}

/// Fails when the manual that is committed is not what the WIT says.
pub(crate) fn check() -> Result<()> {
    if fs::read_to_string(path()).is_ok_and(|written| generate(&root().join("wit")).is_ok_and(|now| now == written)) {
        return Ok(());
    }
    bail!("wit/REFERENCE.md is not what wit/ says; `cargo xtask manual` writes it")
}

fn path() -> PathBuf {
    root().join("wit/REFERENCE.md")
}

fn generate(wit: &Path) -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let package = resolve.packages.get(package).context("the contract's package")?;
    let interface = |name: &str| -> Result<&Interface> {
        let id = package.interfaces.get(name).with_context(|| format!("interface {name} is not in wit/"))?;
        resolve.interfaces.get(*id).with_context(|| format!("interface {name}"))
    };
    if let Some(forgotten) =
        package.interfaces.keys().find(|name| !CHAPTERS.iter().any(|(_, names)| names.contains(&name.as_str())))
    {
        bail!("interface {forgotten} stands in no chapter of the manual (host/xtask/src/manual.rs)");
    }

    let mut manual = format!(
        "<!-- Written by `cargo xtask manual` from the doc comments of wit/*.wit: change those, not this. -->\n# Reference: {}\n\n",
        package.name
    );
    manual.push_str("How to write a plugin, step by step: [the guide](../plugins/GUIDE.md).\n\n");
    paragraph(&mut manual, &package.docs);
    for (title, names) in CHAPTERS {
        let links: Vec<String> = names.iter().map(|name| format!("[`{name}`](#{name})")).collect();
        writeln!(manual, "- {title}: {}", links.join(", "))?;
    }
    manual.push_str("\n## Worlds\n\n");
    for id in package.worlds.values() {
        world(&mut manual, &resolve, resolve.worlds.get(*id).context("a world")?)?;
    }
    for (title, names) in CHAPTERS {
        write!(manual, "## {title}\n\n")?;
        for name in names {
            chapter(&mut manual, &resolve, name, interface(name)?)?;
        }
    }
    Ok(format!("{}\n", manual.trim_end()))
}

fn world(manual: &mut String, resolve: &Resolve, world: &World) -> Result<()> {
    write!(manual, "### `world {}`\n\n", world.name)?;
    paragraph(manual, &world.docs);
    for (what, items) in [("Imports", &world.imports), ("Exports", &world.exports)] {
        let names: Vec<String> = items
            .values()
            .filter_map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.interfaces.get(*id)?.name.clone(),
                _ => None,
            })
            // They have no functions; they are there for their types.
            .filter(|name| name != "types" && name != "hook-types")
            .map(|name| format!("`{name}`"))
            .collect();
        if !names.is_empty() {
            write!(manual, "{what}: {}.\n\n", names.join(", "))?;
        }
    }
    Ok(())
}

fn chapter(manual: &mut String, resolve: &Resolve, name: &str, interface: &Interface) -> Result<()> {
    write!(manual, "### {name}\n\n")?;
    paragraph(manual, &interface.docs);
    for function in interface.functions.values() {
        write!(manual, "#### `{}`\n\n", signature(resolve, function))?;
        paragraph(manual, &function.docs);
    }
    for id in interface.types.values() {
        type_definition(manual, resolve, resolve.types.get(*id).context("a type")?)?;
    }
    Ok(())
}

fn type_definition(manual: &mut String, resolve: &Resolve, definition: &TypeDef) -> Result<()> {
    // `use types.{reply}`: described where it is defined.
    if let TypeDefKind::Type(Type::Id(_)) = definition.kind {
        return Ok(());
    }
    let name = definition.name.as_deref().unwrap_or_default();
    write!(manual, "#### `{} {name}`\n\n", definition.kind.as_str())?;
    paragraph(manual, &definition.docs);
    let rows: Vec<(String, Option<Type>, &Docs)> = match &definition.kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| (field.name.clone(), Some(field.ty), &field.docs)).collect()
        }
        TypeDefKind::Variant(variant) => {
            variant.cases.iter().map(|case| (case.name.clone(), case.ty, &case.docs)).collect()
        }
        TypeDefKind::Enum(choice) => choice.cases.iter().map(|case| (case.name.clone(), None, &case.docs)).collect(),
        _ => Vec::new(),
    };
    for (name, ty, docs) in rows {
        let shown = match (&definition.kind, ty) {
            (TypeDefKind::Record(_), Some(ty)) => format!("`{name}: {}`", type_name(resolve, ty)),
            (_, Some(ty)) => format!("`{name}({})`", type_name(resolve, ty)),
            (_, None) => format!("`{name}`"),
        };
        match &docs.contents {
            Some(text) => writeln!(manual, "- {shown}: {}", on_one_line(text))?,
            None => writeln!(manual, "- {shown}")?,
        }
    }
    manual.push('\n');
    Ok(())
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, type_name(resolve, parameter.ty)))
        .collect();
    let result = function.result.map(|ty| format!(" -> {}", type_name(resolve, ty))).unwrap_or_default();
    format!("{}: func({}){result}", function.name, parameters.join(", "))
}

/// A type as WIT writes it.
fn type_name(resolve: &Resolve, ty: Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::F32 => "f32".to_owned(),
        Type::F64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
        Type::Id(id) => named_type(resolve, id),
    }
}

fn named_type(resolve: &Resolve, id: TypeId) -> String {
    let Some(definition) = resolve.types.get(id) else { return "?".to_owned() };
    if let Some(name) = &definition.name {
        return name.clone();
    }
    let of = |ty: &Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| type_name(resolve, ty));
    match &definition.kind {
        TypeDefKind::List(ty) => format!("list<{}>", type_name(resolve, *ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", type_name(resolve, *ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (ok, None) => format!("result<{}>", of(ok)),
            (ok, err) => format!("result<{}, {}>", of(ok), of(err)),
        },
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(|ty| type_name(resolve, *ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Handle(Handle::Own(id)) => named_type(resolve, *id),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", named_type(resolve, *id)),
        other => other.as_str().to_owned(),
    }
}

fn paragraph(manual: &mut String, docs: &Docs) {
    if let Some(text) = &docs.contents {
        manual.push_str(text.trim());
        manual.push_str("\n\n");
    }
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
