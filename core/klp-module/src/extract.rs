//! [`extract`]: the object of a change.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use elf_index::{Binding, Object, Reloc, SectionId, SymbolId};
use klp_abi::records::TOMBSTONE_PREFIX;
use klp_abi::{KlpSymbol, VMLINUX};
use klp_diff::{Difference, Exports, LinkedPositions, Plan, Reach, Target, target};
use object::elf::{R_X86_64_NONE, R_X86_64_PC32};

use crate::error::Error;
use crate::image::{Image, ImageReloc, ImageSymbol, SectionNumber, SymbolNumber};
use crate::layout::{Copied, Layout};
use crate::names::Names;
use crate::records::{KlpReloc, Records};
use crate::runtime_constant::{self, DISPLACEMENT_AT, SECTION_PREFIX};

/// A change with what is known of the object that runs.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a, 'o, 'd> {
    /// The object before the change.
    pub before: &'o Object<'d>,
    /// The object after it.
    pub after: &'o Object<'d>,
    /// What differs.
    pub difference: &'a Difference,
    /// What goes along. It must have no obstacles.
    pub plan: &'a Plan<'a>,
    /// Who exports what.
    pub exports: &'a Exports<'a>,
    /// Positions of symbols in the linked object.
    pub positions: &'a LinkedPositions<'a, 'o, 'd>,
    /// Name of the patched module, or `vmlinux`.
    pub patched: &'a str,
}

/// Makes the object of a change: an ELF file that the kernel's build links into a module.
///
/// # Errors
///
/// Any [`Error`].
pub fn extract(change: Change<'_, '_, '_>) -> Result<Vec<u8>, Error> {
    if change.difference.changed.is_empty() {
        return Err(Error::Nothing);
    }
    let mut image = Image::default();
    let layout = Layout::new(change.after, change.plan, &mut image)?;
    let mut extractor = Extractor {
        change,
        layout,
        image,
        names: Names::default(),
        defined: BTreeMap::new(),
        records: Records::default(),
        namespaces: BTreeSet::new(),
    };
    extractor.define();
    extractor.relocate()?;
    extractor.constants()?;
    extractor.functions()?;
    let Extractor {
        mut image,
        mut names,
        records,
        namespaces,
        ..
    } = extractor;
    records.write(change.patched, &namespaces, &mut names, &mut image);
    image.write()
}

struct Extractor<'a, 'o, 'd> {
    change: Change<'a, 'o, 'd>,
    layout: Layout,
    image: Image<'d>,
    names: Names,
    /// Copied symbols.
    defined: BTreeMap<SymbolId, SymbolNumber>,
    records: Records,
    /// Namespaces of exports that are used.
    namespaces: BTreeSet<String>,
}

/// A symbol of the running kernel, as a module names it.
enum Name<'n> {
    /// The module loader finds it, or another object of the module has it.
    Plain(Cow<'n, str>),
    /// The livepatch core finds it: name of the object, and of the symbol.
    Livepatch(Cow<'n, str>, String),
}

impl<'d> Extractor<'_, '_, 'd> {
    /// Gives the image every copied symbol.
    fn define(&mut self) {
        for (id, reach) in &self.change.plan.symbols {
            let symbol = self.change.after.symbol(*id).copied();
            let (Reach::Copied, Some(symbol)) = (reach, symbol) else {
                continue;
            };
            let place = symbol.place.section();
            let copy = place.and_then(|section| match symbol.size {
                0 => self.layout.locate_end(section, symbol.value),
                _ => self.layout.locate(section, symbol.value),
            });
            if let Some((section, value)) = copy {
                let number = self.image.add_symbol(ImageSymbol {
                    name: Cow::Borrowed(symbol.name),
                    section: Some(section),
                    value,
                    size: symbol.size,
                    kind: symbol.kind,
                    binding: symbol.binding,
                    other: symbol.other,
                });
                self.defined.insert(*id, number);
            }
        }
    }

    fn relocate(&mut self) -> Result<(), Error> {
        let copied: Vec<Copied> = self.layout.copied().to_vec();
        for copied in copied {
            let piece = copied.piece;
            let relocs = self.change.after.relocs(piece.section);
            let within: Vec<Reloc> = relocs.within(piece.start..piece.end).iter().collect();
            for reloc in within {
                let is_left = self
                    .change
                    .plan
                    .unapplied
                    .contains(&(piece.section, reloc.offset));
                if !is_left && reloc.kind != R_X86_64_NONE.0 {
                    self.reloc(&copied, &reloc)?;
                }
            }
        }
        Ok(())
    }

    fn reloc(&mut self, copied: &Copied, reloc: &Reloc) -> Result<(), Error> {
        let object = self.change.after;
        let piece = copied.piece;
        let at = reloc.offset.saturating_sub(piece.start);
        let offset = copied.offset.saturating_add(at);
        match target(object, piece, reloc) {
            Target::None => Ok(()),
            Target::Symbol(id) => {
                self.refer_to_symbol(copied.section, offset, reloc.kind, id, reloc.addend)
            }
            Target::Place {
                section,
                offset: place,
                symbol,
                bias,
            } => {
                let copy = self.layout.locate(section, place).or_else(|| {
                    // What has a name there is not copied, and is not the end of what is in front of it.
                    let end = self.layout.locate_end(section, place);
                    end.filter(|_| symbol.is_none())
                });
                if let Some((to, start)) = copy {
                    let symbol = self.names.section(to, &mut self.image);
                    let addend = start.cast_signed().wrapping_add(bias);
                    self.add(copied.section, offset, reloc.kind, symbol, addend);
                    return Ok(());
                }
                let known = symbol.and_then(|id| Some((id, object.symbol(id)?.value)));
                let Some((id, start)) = known else {
                    return Err(self.not_copied(piece.section, reloc.offset));
                };
                let inside = place.wrapping_sub(start).cast_signed();
                let addend = inside.wrapping_add(bias);
                self.refer_to_symbol(copied.section, offset, reloc.kind, id, addend)
            }
        }
    }

    fn refer_to_symbol(
        &mut self,
        section: SectionNumber,
        offset: u64,
        kind: u32,
        id: SymbolId,
        addend: i64,
    ) -> Result<(), Error> {
        if let Some(symbol) = self.defined.get(&id) {
            let symbol = *symbol;
            self.add(section, offset, kind, symbol, addend);
            return Ok(());
        }
        let name = self.name(id)?;
        self.refer_to_name(section, offset, kind, name, addend);
        Ok(())
    }

    /// How a module names a symbol that it does not have.
    fn name(&self, id: SymbolId) -> Result<Name<'d>, Error> {
        let Change {
            before,
            after,
            plan,
            positions,
            patched,
            ..
        } = self.change;
        let name = after.symbol(id).map_or("", |symbol| symbol.name);
        let looked_up = |object: &str, name: &str, position| {
            let symbol = KlpSymbol::new(object, name, position);
            let symbol = symbol.map_err(|source| Error::Name {
                symbol: name.into(),
                object: object.into(),
                source,
            })?;
            let object = Cow::Owned(object.to_string());
            Ok(Name::Livepatch(object, symbol.to_string()))
        };
        let told = |name: &str, position: Result<u64, _>| {
            position.map_err(|source| Error::Position {
                name: name.into(),
                object: patched.into(),
                source,
            })
        };
        match plan.symbols.get(&id) {
            Some(Reach::InPatchedObject { before: old }) => {
                let name = before.symbol(*old).map_or("", |symbol| symbol.name);
                looked_up(patched, name, told(name, positions.position(*old))?)
            }
            Some(Reach::InModule { module }) => looked_up(module, name, 0),
            Some(Reach::Unknown) if positions.has(name) => {
                let position = told(name, positions.position_of_global(name))?;
                looked_up(patched, name, position)
            }
            // An export, or what another object of the module defines; the link tells if nobody does.
            _ => Ok(Name::Plain(Cow::Borrowed(name))),
        }
    }

    fn refer_to_name(
        &mut self,
        section: SectionNumber,
        offset: u64,
        kind: u32,
        name: Name<'_>,
        addend: i64,
    ) {
        match name {
            Name::Plain(name) => {
                let namespace = self.change.exports.namespace(&name);
                self.namespaces.extend(namespace.map(String::from));
                let symbol = self
                    .names
                    .undefined(&name, Binding::GLOBAL, &mut self.image);
                self.add(section, offset, kind, symbol, addend);
            }
            Name::Livepatch(object, name) => {
                // The relocation keeps its place until the module is linked.
                let tombstone = format!("{TOMBSTONE_PREFIX}{name}");
                let tombstone = self
                    .names
                    .undefined(&tombstone, Binding::WEAK, &mut self.image);
                self.add(section, offset, kind, tombstone, addend);
                let symbol = self.names.undefined(&name, Binding::WEAK, &mut self.image);
                let reloc = KlpReloc {
                    section,
                    offset,
                    symbol,
                    addend,
                    kind,
                };
                // Those of vmlinux are applied before the module's own tables are read.
                let waits_for = if object == VMLINUX {
                    VMLINUX
                } else {
                    self.change.patched
                };
                self.records.reloc(waits_for, reloc);
            }
        }
    }

    fn add(
        &mut self,
        section: SectionNumber,
        offset: u64,
        kind: u32,
        symbol: SymbolNumber,
        addend: i64,
    ) {
        if let Some(section) = self.image.sections.get_mut(section.0) {
            section.relocs.push(ImageReloc {
                offset,
                symbol,
                kind,
                addend,
            });
        }
    }

    /// Instructions with constants of the running kernel read them there.
    fn constants(&mut self) -> Result<(), Error> {
        let object = self.change.after;
        for (id, header) in object.sections_with_ids() {
            if !header.name.starts_with(SECTION_PREFIX) {
                continue;
            }
            for reloc in object.relocs(id).iter() {
                let place = object.symbol(reloc.symbol).and_then(|symbol| {
                    let offset = symbol.value.wrapping_add_signed(reloc.addend);
                    self.layout.locate(symbol.place.section()?, offset)
                });
                let Some((to, constant)) = place else {
                    continue;
                };
                let Some(section) = self.image.sections.get_mut(to.0) else {
                    continue;
                };
                let start = runtime_constant::rewrite(&mut section.data, &section.name, constant)?;
                let (name, inside) = self.constant(header.name)?;
                let offset = start.saturating_add(DISPLACEMENT_AT);
                // The displacement counts from behind its four bytes, where the instruction ends.
                let addend = inside.cast_signed().wrapping_sub(4);
                self.refer_to_name(to, offset, R_X86_64_PC32.0, name, addend);
            }
        }
        Ok(())
    }

    /// Where the running kernel has the constants of a section: a symbol, and the distance behind it.
    fn constant(&self, section: &str) -> Result<(Name<'static>, u64), Error> {
        let Change {
            positions, patched, ..
        } = self.change;
        let missing = || Error::ConstantUnknown {
            section: section.into(),
        };
        let found = positions.constant(section).ok_or_else(missing)?;
        let name = KlpSymbol::new(patched, found.function, found.position);
        let name = name.map_err(|source| Error::Name {
            symbol: found.function.into(),
            object: patched.into(),
            source,
        })?;
        let name = Name::Livepatch(Cow::Owned(patched.into()), name.to_string());
        Ok((name, found.offset))
    }

    /// Records the functions to replace, and the callbacks.
    fn functions(&mut self) -> Result<(), Error> {
        let Change {
            before,
            after,
            positions,
            patched,
            difference,
            ..
        } = self.change;
        for (old, new) in &difference.changed {
            let name = before.symbol(*old).map_or("", |symbol| symbol.name);
            let position = positions.position(*old).map_err(|source| Error::Position {
                name: name.into(),
                object: patched.into(),
                source,
            })?;
            let Some(function) = self.defined.get(new) else {
                let symbol = after.symbol(*new);
                let section = symbol.and_then(|symbol| symbol.place.section());
                return Err(self.not_copied(section.unwrap_or(SectionId(0)), 0));
            };
            self.records.function(name, *function, position);
        }
        for (kind, callback) in self.change.plan.callbacks(after) {
            if let Some(function) = self.defined.get(&callback) {
                self.records.callback(kind, *function);
            }
        }
        Ok(())
    }

    fn not_copied(&self, section: SectionId, offset: u64) -> Error {
        let section = self.change.after.section(section);
        Error::NotCopied {
            section: section.map_or("", |section| section.name).into(),
            offset,
        }
    }
}
