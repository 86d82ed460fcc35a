//! [`Records`]: what the module's `init.c` and the step after the link read.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::offset_of;

use klp_abi::records::{Callbacks, FUNCS_SECTION, OBJECTS_SECTION, RELOCS_PREFIX, STRINGS_SECTION};
use klp_abi::{FuncExt, ObjectExt, RelocRecord, VMLINUX};
use klp_diff::CallbackKind;
use object::elf::{R_X86_64_64, SHF_ALLOC, SHF_WRITE, SHT_PROGBITS, SectionFlags};
use zerocopy::FromZeros as _;
use zerocopy::IntoBytes as _;

use crate::image::{Image, ImageReloc, ImageSection, SectionNumber, SymbolNumber};
use crate::names::Names;

/// A relocation that the livepatch core must apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KlpReloc {
    pub(crate) section: SectionNumber,
    pub(crate) offset: u64,
    pub(crate) symbol: SymbolNumber,
    pub(crate) addend: i64,
    pub(crate) kind: u32,
}

#[derive(Clone, Debug)]
struct Function {
    name: String,
    symbol: SymbolNumber,
    position: u64,
}

/// Everything that is recorded of a change.
#[derive(Debug, Default)]
pub(crate) struct Records {
    functions: Vec<Function>,
    callbacks: Vec<(CallbackKind, SymbolNumber)>,
    /// By the object that they wait for.
    relocs: BTreeMap<String, Vec<KlpReloc>>,
}

impl Records {
    pub(crate) fn function(&mut self, name: &str, symbol: SymbolNumber, position: u64) {
        self.functions.push(Function {
            name: name.into(),
            symbol,
            position,
        });
    }

    pub(crate) fn callback(&mut self, kind: CallbackKind, symbol: SymbolNumber) {
        self.callbacks.push((kind, symbol));
    }

    pub(crate) fn reloc(&mut self, object: &str, reloc: KlpReloc) {
        self.relocs.entry(object.into()).or_default().push(reloc);
    }

    /// Writes the records into sections of their own.
    pub(crate) fn write(
        &self,
        patched: &str,
        namespaces: &BTreeSet<String>,
        names: &mut Names,
        image: &mut Image<'_>,
    ) {
        let strings = image.add_section(section(STRINGS_SECTION, SHF_ALLOC, 1));
        let strings_symbol = names.section(strings, image);
        let string = |text: &str, image: &mut Image<'_>| {
            let section = image.sections.get_mut(strings.0);
            let offset = section.map_or(0, |section| {
                let offset = section.append(text.as_bytes());
                section.append_zeros(1);
                offset
            });
            (strings_symbol, offset.cast_signed())
        };
        let data = SHF_ALLOC | SHF_WRITE;
        let funcs = image.add_section(section(FUNCS_SECTION, data, 8));
        for function in &self.functions {
            let record = FuncExt {
                sympos: function.position.into(),
                ..FuncExt::new_zeroed()
            };
            let start = append(image, funcs, record.as_bytes());
            let name = string(&function.name, image);
            pointer(image, funcs, start, offset_of!(FuncExt, old_name), name);
            let function = (function.symbol, 0);
            pointer(image, funcs, start, offset_of!(FuncExt, new_func), function);
        }
        let objects = image.add_section(section(OBJECTS_SECTION, data, 8));
        let count = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        let record = ObjectExt {
            nr_funcs: count.into(),
            ..ObjectExt::new_zeroed()
        };
        let start = append(image, objects, record.as_bytes());
        if patched != VMLINUX {
            let name = string(patched, image);
            pointer(image, objects, start, offset_of!(ObjectExt, name), name);
        }
        let functions = (names.section(funcs, image), 0);
        pointer(
            image,
            objects,
            start,
            offset_of!(ObjectExt, funcs),
            functions,
        );
        for (kind, callback) in &self.callbacks {
            let field = offset_of!(ObjectExt, callbacks).saturating_add(field_of(*kind));
            pointer(image, objects, start, field, (*callback, 0));
        }
        self.write_relocs(names, image);
        write_namespaces(namespaces, image);
    }

    fn write_relocs(&self, names: &mut Names, image: &mut Image<'_>) {
        for (object, relocs) in &self.relocs {
            let name = format!("{RELOCS_PREFIX}{object}");
            let records = image.add_section(section(&name, SHF_ALLOC, 8));
            for reloc in relocs {
                let record = RelocRecord {
                    kind: reloc.kind.into(),
                    ..RelocRecord::new_zeroed()
                };
                let start = append(image, records, record.as_bytes());
                let place = (
                    names.section(reloc.section, image),
                    reloc.offset.cast_signed(),
                );
                pointer(
                    image,
                    records,
                    start,
                    offset_of!(RelocRecord, offset),
                    place,
                );
                let symbol = (reloc.symbol, reloc.addend);
                pointer(image, records, start, offset_of!(RelocRecord, sym), symbol);
            }
        }
    }
}

/// `import_ns=` of every namespace, as `MODULE_IMPORT_NS` makes it.
fn write_namespaces(namespaces: &BTreeSet<String>, image: &mut Image<'_>) {
    if namespaces.is_empty() {
        return;
    }
    let number = image.add_section(section(".modinfo", SHF_ALLOC, 1));
    for namespace in namespaces {
        append(image, number, format!("import_ns={namespace}\0").as_bytes());
    }
}

fn field_of(kind: CallbackKind) -> usize {
    match kind {
        CallbackKind::PrePatch => offset_of!(Callbacks, pre_patch),
        CallbackKind::PostPatch => offset_of!(Callbacks, post_patch),
        CallbackKind::PreUnpatch => offset_of!(Callbacks, pre_unpatch),
        CallbackKind::PostUnpatch => offset_of!(Callbacks, post_unpatch),
    }
}

fn section<'d>(name: &str, flags: SectionFlags, align: u64) -> ImageSection<'d> {
    ImageSection {
        name: Cow::Owned(name.into()),
        kind: SHT_PROGBITS,
        flags,
        align,
        entry_size: 0,
        data: Vec::new(),
        size: 0,
        relocs: Vec::new(),
    }
}

fn append(image: &mut Image<'_>, section: SectionNumber, bytes: &[u8]) -> u64 {
    let section = image.sections.get_mut(section.0);
    section.map_or(0, |section| section.append(bytes))
}

/// Makes a field of a record point to a symbol and a distance behind it.
fn pointer(
    image: &mut Image<'_>,
    section: SectionNumber,
    start: u64,
    field: usize,
    (symbol, addend): (SymbolNumber, i64),
) {
    let field = u64::try_from(field).unwrap_or(0);
    if let Some(section) = image.sections.get_mut(section.0) {
        section.relocs.push(ImageReloc {
            offset: start.saturating_add(field),
            symbol,
            kind: R_X86_64_64.0,
            addend,
        });
    }
}
