//! Takes a QuickJS component out of its wrapping.
//!
//! componentize-qjs wraps the engine's component into another one, which gives it a loader of modules; with WASI stubbed out, into two. The
//! host can take no snapshot of what is nested, so that such a plugin would be configured for every message. What is wrapped needs neither
//! when it runs: all modules are loaded when the component is made, and there is nothing behind WASI. So it is unwrapped, and what it
//! imports from elsewhere than the contract is replaced in place by functions that trap.
//!
//! Everything keeps its index, so that little has to be rewritten; where one thing is replaced, it is by another that takes one index of the
//! same kind. An imported instance becomes an empty one, a type out of it a resource of our own or a number, a function out of it any
//! function of the contract, and the lowering of that function an alias of one in our module of traps. Only the module and its instance are
//! new: they stand behind the first modules and before what uses them, and what comes later is counted up.

use anyhow::{Context, Result, bail};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentImport, ComponentOuterAliasKind,
    ComponentTypeRef, ExternalKind, FromReader, FuncType, Instance, Parser, Payload, SectionLimited, ValType,
    Validator,
    component_types::{ComponentAnyTypeId, ComponentEntityType},
};

/// What the engine may import.
const OURS: &str = "wasmilter:policy/";

/// Ids of sections in a component.
mod id {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const CORE_MODULE: u8 = 1;
    pub(super) const CORE_INSTANCE: u8 = 2;
    pub(super) const INSTANCE: u8 = 5;
    pub(super) const ALIAS: u8 = 6;
    pub(super) const TYPE: u8 = 7;
    pub(super) const CANON: u8 = 8;
    pub(super) const IMPORT: u8 = 10;
}

/// The engine's component, without imports from elsewhere than the contract.
///
/// # Errors
/// When the component is not built as componentize-qjs 0.4.5 does it.
pub(super) fn of_quickjs(wrapped: &[u8]) -> Result<Vec<u8>> {
    let engine = wrapped_in(wrapped)?;
    let found = Found::in_component(engine)?;
    let flat = Writer::write(engine, &found)?;
    Validator::new().validate_all(&flat).context("the unwrapped component")?;
    Ok(flat)
}

/// The first component in a component: the one with the engine.
fn wrapped_in(wrapped: &[u8]) -> Result<&[u8]> {
    for payload in Parser::new(0).parse_all(wrapped) {
        if let Payload::ComponentSection { unchecked_range, .. } = payload? {
            return wrapped.get(unchecked_range).context("a component that ends early");
        }
    }
    bail!("there is no component in what componentize-qjs made")
}

/// What has to be replaced, by index.
#[derive(Default)]
struct Found {
    /// Imported instances from elsewhere.
    instances: BTreeSet<u32>,
    /// Functions out of them.
    functions: BTreeSet<u32>,
    /// For each type out of them, in order of appearance, whether it is a resource.
    types: Vec<bool>,
    /// Their lowerings, with the types that these have, in order of appearance.
    lowered: BTreeMap<u32, FuncType>,
    /// An imported instance of the contract and a function of it.
    any: Option<(u32, String)>,
    /// How many core modules there are before ours.
    modules: u32,
}

impl Found {
    fn in_component(engine: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut validator = Validator::new();
        let mut begun = false;
        for item in top_level(engine) {
            let (payload, depth) = item?;
            let before = match validator.types(0) {
                Some(types) if depth == 0 => Counts {
                    types: types.component_type_count(),
                    functions: types.component_function_count(),
                    core_functions: types.function_count(),
                },
                _ => Counts::default(),
            };
            validator.payload(&payload)?;
            if depth > 0 {
                continue;
            }
            begun |= begins(&payload);
            match payload {
                Payload::ModuleSection { .. } if !begun => found.modules = found.modules.saturating_add(1),
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import?;
                        found.import(import.name.name, import.ty, &validator)?;
                    }
                }
                Payload::ComponentAliasSection(section) => found.aliases(section, before, &validator)?,
                Payload::ComponentCanonicalSection(section) => found.lowerings(section, before, &validator)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn import(&mut self, name: &str, ty: ComponentTypeRef, validator: &Validator) -> Result<()> {
        let ComponentTypeRef::Instance(_) = ty else { bail!("the engine imports {name}, which is no interface") };
        let types = validator.types(0).context("no types")?;
        // One import a section.
        let index = types.component_instance_count().checked_sub(1).context("an import without an instance")?;
        if !name.starts_with(OURS) {
            self.instances.insert(index);
        } else if self.any.is_none() {
            let exports = &types.get(types.component_instance_at(index)).context("an instance without a type")?.exports;
            let function = exports.iter().find(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
            self.any = function.map(|(name, _)| (index, name.clone()));
        }
        Ok(())
    }

    fn aliases(
        &mut self,
        section: SectionLimited<'_, ComponentAlias<'_>>,
        mut next: Counts,
        validator: &Validator,
    ) -> Result<()> {
        let types = validator.types(0).context("no types")?;
        for alias in section {
            let (kind, foreign) = match alias? {
                ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                    (kind, self.instances.contains(&instance_index))
                }
                ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => {
                    (ComponentExternalKind::Type, false)
                }
                _ => continue,
            };
            match kind {
                ComponentExternalKind::Type => {
                    if foreign {
                        let ty = types.component_any_type_at(next.types);
                        self.types.push(matches!(ty, ComponentAnyTypeId::Resource(_)));
                    }
                    next.types = next.types.saturating_add(1);
                }
                ComponentExternalKind::Func => {
                    if foreign {
                        self.functions.insert(next.functions);
                    }
                    next.functions = next.functions.saturating_add(1);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn lowerings(
        &mut self,
        section: SectionLimited<'_, CanonicalFunction>,
        mut next: Counts,
        validator: &Validator,
    ) -> Result<()> {
        for canonical in section {
            match canonical? {
                CanonicalFunction::Lift { .. } => continue,
                CanonicalFunction::Lower { func_index, .. } if self.functions.contains(&func_index) => {
                    let types = validator.types(0).context("no types")?;
                    let ty =
                        types.get(types.core_function_at(next.core_functions)).context("a function without a type")?;
                    self.lowered.insert(next.core_functions, ty.unwrap_func().clone());
                }
                _ => {}
            }
            next.core_functions = next.core_functions.saturating_add(1);
        }
        Ok(())
    }

    /// A module with a function for each lowering, named by its index.
    fn traps(&self) -> Result<Vec<u8>> {
        let mut text = String::from("(module");
        for (index, ty) in &self.lowered {
            write!(text, " (func (export \"{index}\")")?;
            for (keyword, types) in [("param", ty.params()), ("result", ty.results())] {
                for ty in types {
                    write!(text, " ({keyword} {})", number(*ty)?)?;
                }
            }
            text.push_str(" unreachable)");
        }
        text.push(')');
        Ok(wat::parse_str(text)?)
    }
}

/// Whether it may use what stands in our module: that and its instance stand before the first of these.
fn begins(payload: &Payload<'_>) -> bool {
    matches!(payload, Payload::InstanceSection(_) | Payload::ComponentCanonicalSection(_))
}

/// How many there are, in the index spaces of a component.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    types: u32,
    functions: u32,
    core_functions: u32,
}

/// The payloads of a component with how deep each is nested; what begins and ends something nested is as deep as that itself.
fn top_level(component: &[u8]) -> impl Iterator<Item = Result<(Payload<'_>, usize), wasmparser::BinaryReaderError>> {
    let mut depth = 0_usize;
    Parser::new(0).parse_all(component).map(move |payload| {
        let payload = payload?;
        let at = depth;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth = depth.saturating_add(1),
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        Ok((payload, at))
    })
}

fn number(ty: ValType) -> Result<&'static str> {
    Ok(match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        other => bail!("the engine imports a function with {other}"),
    })
}

/// What comes in the place of an item: the id of the section that it stands in, and its content. None: it stays.
type Rewritten = Option<(u8, Vec<u8>)>;

/// Writes the component anew, section by section.
struct Writer<'a> {
    engine: &'a [u8],
    found: &'a Found,
    out: Vec<u8>,
    /// What was written so far, by index space. Imports come before all other instances.
    imports: u32,
    core_functions: u32,
    types: std::slice::Iter<'a, bool>,
    /// Whether the module of traps is written.
    begun: bool,
}

impl<'a> Writer<'a> {
    fn write(engine: &'a [u8], found: &'a Found) -> Result<Vec<u8>> {
        let header = engine.get(..8).context("a component without a header")?.to_vec();
        let mut writer =
            Self { engine, found, out: header, imports: 0, core_functions: 0, types: found.types.iter(), begun: false };
        for item in top_level(engine) {
            match item? {
                (payload, 0) => writer.section(payload)?,
                _nested => {}
            }
        }
        Ok(writer.out)
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<()> {
        if begins(&payload) && !self.begun {
            self.begun = true;
            self.put(id::CORE_MODULE, &self.found.traps()?);
            let mut content = vec![0x00];
            put_number(&mut content, self.found.modules);
            put_number(&mut content, 0);
            self.put_item(id::CORE_INSTANCE, &content);
        }
        match payload {
            Payload::Version { .. } | Payload::End(_) => Ok(()),
            Payload::InstanceSection(section) => self.core_instances(section),
            Payload::ComponentImportSection(section) => self.items(id::IMPORT, section, Self::import),
            Payload::ComponentAliasSection(section) => self.items(id::ALIAS, section, Self::alias),
            Payload::ComponentCanonicalSection(section) => self.items(id::CANON, section, Self::canonical),
            other => {
                let (id, range) = other.as_section().context("a part of a component that is no section")?;
                // What is named there has another index now.
                if id != id::CUSTOM {
                    self.put(id, self.engine.get(range).context("a section that ends early")?);
                }
                Ok(())
            }
        }
    }

    /// Hands each item to `rewrite`.
    fn items<T: FromReader<'a>>(
        &mut self,
        id: u8,
        section: SectionLimited<'a, T>,
        rewrite: fn(&mut Self, T) -> Result<Rewritten>,
    ) -> Result<()> {
        let end = section.range().end;
        let items = section.into_iter_with_offsets().collect::<Result<Vec<_>, _>>()?;
        let ends = items.iter().skip(1).map(|(offset, _)| *offset).chain([end]).collect::<Vec<_>>();
        for ((begin, item), end) in items.into_iter().zip(ends) {
            let (id, content) = match rewrite(self, item)? {
                Some(new) => new,
                None => (id, self.engine.get(begin..end).context("an item that ends early")?.to_vec()),
            };
            self.put_item(id, &content);
        }
        Ok(())
    }

    fn import(&mut self, _import: ComponentImport<'a>) -> Result<Rewritten> {
        let index = self.imports;
        self.imports = index.saturating_add(1);
        // Made of no exports.
        Ok(self.found.instances.contains(&index).then(|| (id::INSTANCE, vec![0x01, 0x00])))
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) -> Result<Rewritten> {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                if !self.found.instances.contains(&instance_index) {
                    return Ok(None);
                }
                match kind {
                    ComponentExternalKind::Type => {
                        let resource = *self.types.next().context("more types than there were")?;
                        // A resource without a destructor, held as an i32; or u8.
                        Ok(Some((id::TYPE, if resource { vec![0x3f, 0x7f, 0x00] } else { vec![0x7d] })))
                    }
                    ComponentExternalKind::Func => {
                        let any = self.found.any.as_ref();
                        let (instance, name) = any.context("wit/world.wit must import something with functions")?;
                        let mut content = vec![0x01, 0x00];
                        put_number(&mut content, *instance);
                        put_name(&mut content, name)?;
                        Ok(Some((id::ALIAS, content)))
                    }
                    other => bail!("the engine takes {other:?} from elsewhere than the contract"),
                }
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                if kind == ExternalKind::Func {
                    self.core_functions = self.core_functions.saturating_add(1);
                }
                Ok(Some((id::ALIAS, core_alias(kind, instance_index.saturating_add(1), name)?)))
            }
            ComponentAlias::Outer { .. } => Ok(None),
        }
    }

    fn canonical(&mut self, canonical: CanonicalFunction) -> Result<Rewritten> {
        if let CanonicalFunction::Lift { .. } = canonical {
            return Ok(None);
        }
        let index = self.core_functions;
        self.core_functions = index.saturating_add(1);
        if !self.found.lowered.contains_key(&index) {
            return Ok(None);
        }
        Ok(Some((id::ALIAS, core_alias(ExternalKind::Func, 0, &index.to_string())?)))
    }

    fn core_instances(&mut self, section: SectionLimited<'a, Instance<'a>>) -> Result<()> {
        self.items(id::CORE_INSTANCE, section, |writer, instance| {
            let Instance::Instantiate { module_index, args } = instance else { return Ok(None) };
            let mut content = vec![0x00];
            put_number(&mut content, module_index.saturating_add(u32::from(module_index >= writer.found.modules)));
            put_number(&mut content, u32::try_from(args.len())?);
            for argument in &args {
                put_name(&mut content, argument.name)?;
                // The only kind of argument.
                content.push(0x12);
                put_number(&mut content, argument.index.saturating_add(1));
            }
            Ok(Some((id::CORE_INSTANCE, content)))
        })
    }

    /// A section with one item.
    fn put_item(&mut self, id: u8, content: &[u8]) {
        let mut section = vec![0x01];
        section.extend_from_slice(content);
        self.put(id, &section);
    }

    fn put(&mut self, id: u8, content: &[u8]) {
        self.out.push(id);
        // Sections are read with lengths of 32 bits, and what is written is hardly longer than what was read.
        put_number(&mut self.out, u32::try_from(content.len()).unwrap_or(u32::MAX));
        self.out.extend_from_slice(content);
    }
}

fn core_alias(kind: ExternalKind, instance: u32, name: &str) -> Result<Vec<u8>> {
    let kind = match kind {
        ExternalKind::Func => 0x00,
        ExternalKind::Table => 0x01,
        ExternalKind::Memory => 0x02,
        ExternalKind::Global => 0x03,
        other => bail!("the engine has an alias of {other:?}"),
    };
    let mut content = vec![0x00, kind, 0x01];
    put_number(&mut content, instance);
    put_name(&mut content, name)?;
    Ok(content)
}

/// LEB128.
fn put_number(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let bits = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            out.push(bits);
            return;
        }
        out.push(bits | 0x80);
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) -> Result<()> {
    put_number(out, u32::try_from(name.len())?);
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As componentize-qjs wraps the engine, with a bit of everything: a resource, another type, functions with and without results.
    const WRAPPED: &str = r#"(component
        (component $engine
            (import "wasi:io/error@0.2.12" (instance $error
                (export "error" (type (sub resource)))
                (type $datetime (record (field "seconds" u32)))
                (export "datetime" (type (eq $datetime)))
                (export "fail" (func (param "code" u32) (result u32)))
                (export "stop" (func))))
            (alias export $error "error" (type $resource))
            (alias export $error "datetime" (type $datetime))
            (import "wasi:cli/other@0.2.12" (instance $other
                (alias outer 1 $datetime (type $outer))
                (export "datetime" (type (eq $outer)))))
            (import "wasmilter:policy/types@1.0.0" (instance))
            (import "wasmilter:policy/client@1.0.0" (instance $client (export "port" (func (result u32)))))
            (core module $main
                (import "wasi" "fail" (func $fail (param i32) (result i32)))
                (import "wasi" "stop" (func))
                (import "wasi" "drop" (func (param i32)))
                (import "ours" "port" (func $port (result i32)))
                (func (export "run") (result i32) call $port call $fail))
            (core module $second (import "main" "run" (func (result i32))))
            (core func $fail (canon lower (func $error "fail")))
            (core func $stop (canon lower (func $error "stop")))
            (core func $drop (canon resource.drop $resource))
            (core func $port (canon lower (func $client "port")))
            (core instance $wasi
                (export "fail" (func $fail))
                (export "stop" (func $stop))
                (export "drop" (func $drop)))
            (core instance $ours (export "port" (func $port)))
            (core instance $run (instantiate $main (with "wasi" (instance $wasi)) (with "ours" (instance $ours))))
            (core instance (instantiate $second (with "main" (instance $run))))
            (core module $third (import "main" "run" (func (result i32))))
            (core instance (instantiate $third (with "main" (instance $run))))
            (func (export "run") (result u32) (canon lift (core func $run "run"))))
        (import "wasi:io/error@0.2.12" (instance $error)))"#;

    #[test]
    fn only_the_contract_is_imported_and_nothing_is_nested() {
        let flat = of_quickjs(&wat::parse_str(WRAPPED).unwrap()).unwrap();
        let mut imports = Vec::new();
        for item in top_level(&flat) {
            match item.unwrap() {
                (Payload::ComponentImportSection(section), 0) => {
                    imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                (Payload::ComponentSection { .. }, _) => panic!("something is nested"),
                _ => {}
            }
        }
        assert_eq!(imports, ["wasmilter:policy/types@1.0.0", "wasmilter:policy/client@1.0.0"]);
    }

    #[test]
    fn what_is_not_wrapped_is_told() {
        let plain = wat::parse_str("(component)").unwrap();
        assert!(of_quickjs(&plain).unwrap_err().to_string().contains("no component in what componentize-qjs made"));
        let without = WRAPPED
            .replace("(export \"port\" (func (result u32)))", "")
            .replace("(func $client \"port\")", "(func $error \"stop\")")
            .replace("(func $port (result i32))", "(func $port)")
            .replace("call $port call $fail", "i32.const 0");
        let error = of_quickjs(&wat::parse_str(&without).unwrap()).unwrap_err();
        assert!(error.to_string().contains("must import something with functions"), "{error:#}");
    }
}
