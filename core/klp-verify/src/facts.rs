//! [`Facts`]: what a kernel or a module says of itself.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use elf_index::{Object, Symbol, SymbolPlace};
use object::elf::SHT_NOTE;

use crate::build_id::build_id;

/// Starts of the names of symbols that exports have: the entry, and its namespace (`include/linux/export-internal.h`, v7.3).
const ENTRY: &str = "__ksymtab_";
const NAMESPACE: &str = "__kstrtabns_";

/// What a kernel or a module says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts<'d> {
    /// Its name; of a kernel none.
    pub name: &'d str,
    /// Version string that must be the same for kernel and modules.
    pub vermagic: Option<&'d str>,
    /// What the linker made of all it linked.
    pub build_id: Option<&'d [u8]>,
    /// Exported symbols with their namespaces; empty for none.
    pub exports: BTreeMap<&'d str, &'d str>,
    /// Symbols that must be defined elsewhere.
    pub imports: Vec<&'d str>,
    /// Namespaces that it imports.
    pub namespaces: Vec<&'d str>,
    /// Modules that must be there before it.
    pub depends: Vec<&'d str>,
    /// Its licence.
    pub license: Option<&'d str>,
}

impl<'d> Facts<'d> {
    /// Reads what a `vmlinux` says.
    #[must_use]
    pub fn of_vmlinux(object: &Object<'d>) -> Self {
        let vermagic = object
            .symbols()
            .iter()
            .find(|symbol| symbol.name == "vermagic" && symbol.is_object());
        Self {
            vermagic: vermagic.and_then(|symbol| string(object, symbol)),
            ..Self::common(object)
        }
    }

    /// Reads what a module says.
    #[must_use]
    pub fn of_module(object: &Object<'d>) -> Self {
        let mut facts = Self::common(object);
        let info = object.section_named(".modinfo");
        let info = info.map(|(_, section)| section.data).unwrap_or_default();
        for text in info.split(|byte| *byte == 0) {
            let text = core::str::from_utf8(text).unwrap_or_default();
            match text.split_once('=') {
                Some(("name", value)) => facts.name = value,
                Some(("vermagic", value)) => facts.vermagic = Some(value),
                Some(("import_ns", value)) => facts.namespaces.push(value),
                Some(("license", value)) => facts.license = Some(value),
                Some(("depends", value)) => facts
                    .depends
                    .extend(value.split(',').filter(|name| !name.is_empty())),
                _ => {}
            }
        }
        // The first symbol is none.
        let undefined = object.symbols().iter().skip(1).filter(|symbol| {
            symbol.place == SymbolPlace::Undefined
                && symbol.binding == elf_index::Binding::GLOBAL
                && !symbol.name.is_empty()
        });
        facts.imports = undefined.map(|symbol| symbol.name).collect();
        facts
    }

    fn common(object: &Object<'d>) -> Self {
        let mut exports = BTreeMap::new();
        for symbol in object.symbols() {
            if let Some(name) = symbol.name.strip_prefix(ENTRY) {
                exports.entry(name).or_default();
            } else if let Some(name) = symbol.name.strip_prefix(NAMESPACE) {
                let namespace = string(object, symbol).unwrap_or_default();
                exports.insert(name, namespace);
            }
        }
        let mut notes = object
            .sections()
            .iter()
            .filter(|section| section.kind == SHT_NOTE);
        let notes = notes.find_map(|section| build_id(section.data));
        // Linkers give the kernel's notes another type: by name as well.
        let named = object.section_named(".notes");
        let named = named.and_then(|(_, section)| build_id(section.data));
        Self {
            build_id: notes.or(named),
            exports,
            ..Self::default()
        }
    }

    /// The namespace of an export; `None` when it is not exported.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<&'d str> {
        self.exports.get(name).copied()
    }
}

/// The string at a symbol.
fn string<'d>(object: &Object<'d>, symbol: &Symbol<'_>) -> Option<&'d str> {
    let section = object.section_of(symbol)?;
    let offset = symbol.value.checked_sub(section.address)?;
    core::str::from_utf8(section.string(offset)?).ok()
}
