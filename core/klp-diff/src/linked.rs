//! Positions of symbols in the kernel or module that runs.
//!
//! Two things must be known: which symbol of the linked file a symbol of the object is, and how the livepatch core counts
//! those of its name. The first is told here:
//!
//! * by `.klp.symid`, where `objtool` has numbered the equally named symbols of `vmlinux.o` and the last link has written
//!   the addresses beside the numbers (`KLP_SYMIDS=1`, v7.3);
//! * else by the source file: local symbols stand behind the symbol of their file in both, and of files of one name it
//!   must be the one with all the local symbols of the object's.
//!
//! The second is the business of [`kernel_symbols`]: ascending address for the kernel, the order of the symbol table for a
//! module.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use elf_index::{Object, Section, SymbolId};
use kernel_symbols::Table;
use klp_abi::VMLINUX;
use klp_abi::records::SYMID_SECTION;

/// Why no position can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ambiguous {
    /// No symbol of the name is in the linked file.
    #[error("the linked file has no such symbol")]
    Missing,
    /// There are several, and nothing tells which.
    #[error("the linked file has {count} symbols of the name, and nothing tells which is meant")]
    Several {
        /// How many.
        count: usize,
    },
}

/// A constant in an instruction of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant<'a> {
    /// Name of the function.
    pub function: &'a str,
    /// Its position.
    pub position: u64,
    /// Offset of the constant in it.
    pub offset: u64,
}

/// A function that has another size than it was linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherSize<'d> {
    /// It, in the object.
    pub symbol: SymbolId,
    /// Its name.
    pub name: &'d str,
    /// Bytes in the object.
    pub object: u64,
    /// Bytes in the linked file.
    pub linked: u64,
}

/// Positions in a linked file.
#[derive(Debug)]
pub struct LinkedPositions<'a, 'o, 'd> {
    table: &'a Table<'a>,
    linked: &'a Object<'a>,
    object: &'o Object<'d>,
    name: &'a str,
    /// Address in the linked kernel of each symbol with an entry in `.klp.symid`.
    by_number: BTreeMap<SymbolId, u64>,
    files: Files<'a>,
}

impl<'a, 'o, 'd> LinkedPositions<'a, 'o, 'd> {
    /// Joins an object with the file that was linked from it: `vmlinux` with its table in the order of kallsyms, or a
    /// module with its symbol table. `name` is the object's as the livepatch core knows it.
    #[must_use]
    pub fn new(
        object: &'o Object<'d>,
        linked: &'a Object<'a>,
        table: &'a Table<'a>,
        name: &'a str,
    ) -> Self {
        Self {
            table,
            linked,
            object,
            name,
            by_number: by_number(object, linked),
            files: Files::new(linked),
        }
    }

    /// The position of a symbol of the object: 0 when it is the only one of its name.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`].
    pub fn position(&self, id: SymbolId) -> Result<u64, Ambiguous> {
        let symbol = self.object.symbol(id).ok_or(Ambiguous::Missing)?;
        self.choose(symbol.name, || self.linked_symbol(id))
    }

    /// The position of a global symbol that the object does not define.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`].
    pub fn position_of_global(&self, name: &str) -> Result<u64, Ambiguous> {
        self.choose(name, || self.global(name))
    }

    /// Where the running kernel has a constant that it wrote into its instructions: the first place that a section of
    /// them lists, in code that stays.
    #[must_use]
    pub fn constant(&self, section: &str) -> Option<Constant<'_>> {
        let (_, list) = self.linked.section_named(section)?;
        // Each entry is the distance from itself to the constant (`arch/x86/include/asm/runtime-const.h`, v7.3).
        let (entries, _rest) = list.data.as_chunks::<4>();
        let places = (0_u64..).zip(entries).map(|(number, entry)| {
            let at = list.address.wrapping_add(number.wrapping_mul(4));
            at.wrapping_add_signed(i64::from(i32::from_le_bytes(*entry)))
        });
        places.into_iter().find_map(|place| {
            let is_kept = self.linked.sections().iter().any(|code| {
                let end = code.address.saturating_add(code.size);
                code.name == ".text" && (code.address..end).contains(&place)
            });
            let found = self.table.lookup(place).filter(|_| is_kept)?;
            let name = found.symbol().name().as_str()?;
            let at = Linked::At(found.start());
            let position = self.choose(name, || Some(at)).ok()?;
            Some(Constant {
                function: name,
                position,
                offset: found.offset_bytes(),
            })
        })
    }

    /// Tells whether a name is in the linked file.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.table.positions(name, self.name).next().is_some()
    }

    /// Source files of the object that nothing in the linked file is from: one that others include has no object there.
    #[must_use]
    pub fn unknown_files(&self) -> Vec<&'d str> {
        let files = files(self.object).into_iter().map(|(name, _, _)| name);
        files
            .filter(|name| !self.files.by_name.contains_key(name))
            .collect()
    }

    /// Functions whose size in the linked file is another: the object is not what it was linked from.
    #[must_use]
    pub fn other_sizes(&self) -> Vec<OtherSize<'d>> {
        let mut found = Vec::new();
        for (id, symbol) in self.object.symbols_with_ids() {
            if !symbol.is_func() || symbol.size == 0 || symbol.place.section().is_none() {
                continue;
            }
            let linked = self
                .linked_id(id)
                .and_then(|id| self.linked.symbol(id))
                .map_or(symbol.size, |other| other.size);
            if linked != symbol.size {
                found.push(OtherSize {
                    symbol: id,
                    name: symbol.name,
                    object: symbol.size,
                    linked,
                });
            }
        }
        found
    }

    fn choose(
        &self,
        name: &str,
        which_fn: impl FnOnce() -> Option<Linked>,
    ) -> Result<u64, Ambiguous> {
        let counted: Vec<Linked> = self
            .table
            .positions(name, self.name)
            .map(|symbol| {
                if self.name == VMLINUX {
                    Linked::At(symbol.address())
                } else {
                    Linked::Number(symbol.index())
                }
            })
            .collect();
        let count = counted.len();
        match count {
            0 => return Err(Ambiguous::Missing),
            1 => return Ok(0),
            _ => {}
        }
        let several = Ambiguous::Several { count };
        let which = which_fn().ok_or(several)?;
        let mut same = (1_u64..).zip(&counted).filter(|(_, it)| **it == which);
        match (same.next(), same.next()) {
            (Some((position, _)), None) => Ok(position),
            _ => Err(several),
        }
    }

    fn linked_symbol(&self, id: SymbolId) -> Option<Linked> {
        if let Some(address) = self.by_number.get(&id) {
            return Some(Linked::At(*address));
        }
        self.linked_at(self.linked_id(id)?)
    }

    /// The symbol of the linked file, by name and source file.
    fn linked_id(&self, id: SymbolId) -> Option<SymbolId> {
        let symbol = self.object.symbol(id)?;
        if !symbol.is_local() {
            return self.global_id(symbol.name);
        }
        let file = file_of(self.object, id)?;
        let found = self.files.the_one(self.object, self.linked, file)?;
        let mut same = found.map(SymbolId).filter_map(|id| {
            let other = self.linked.symbol(id)?;
            (other.name == symbol.name && other.kind == symbol.kind).then_some(id)
        });
        same.next().filter(|_| same.next().is_none())
    }

    fn global(&self, name: &str) -> Option<Linked> {
        self.linked_at(self.global_id(name)?)
    }

    fn global_id(&self, name: &str) -> Option<SymbolId> {
        let mut globals = self.linked.symbols_with_ids().filter(|(_, symbol)| {
            symbol.name == name && !symbol.is_local() && symbol.place.section().is_some()
        });
        globals.next().map(|(id, _)| id)
    }

    fn linked_at(&self, id: SymbolId) -> Option<Linked> {
        if self.name == VMLINUX {
            Some(Linked::At(self.linked.symbol(id)?.value))
        } else {
            Some(Linked::Number(id.0))
        }
    }
}

/// A symbol of a linked file: in the kernel by its address, in a module by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    At(u64),
    Number(u32),
}

/// The local symbols of each source file.
#[derive(Debug)]
struct Files<'a> {
    by_name: BTreeMap<&'a str, Vec<(u32, u32)>>,
}

impl<'a> Files<'a> {
    fn new(linked: &Object<'a>) -> Self {
        let mut by_name: BTreeMap<&'a str, Vec<(u32, u32)>> = BTreeMap::new();
        for (name, first, behind) in files(linked) {
            by_name.entry(name).or_default().push((first, behind));
        }
        Self { by_name }
    }

    /// The one file of the linked object that has every local function and object of a file of the other.
    fn the_one(
        &self,
        object: &Object<'_>,
        linked: &Object<'_>,
        (name, first, behind): (&str, u32, u32),
    ) -> Option<Range<u32>> {
        let wanted: BTreeSet<&str> = local_names(object, first..behind).collect();
        let mut fitting = self.by_name.get(name)?.iter().filter(|(first, behind)| {
            let found: BTreeSet<&str> = local_names(linked, *first..*behind).collect();
            wanted.is_subset(&found)
        });
        let (first, behind) = *fitting.next().filter(|_| fitting.next().is_none())?;
        Some(first..behind)
    }
}

/// Names of functions and objects that stay: what of init code is discarded is in the linked file, too.
fn local_names<'d>(object: &Object<'d>, numbers: Range<u32>) -> impl Iterator<Item = &'d str> {
    numbers
        .filter_map(|number| object.symbol(SymbolId(number)).copied())
        .filter(|symbol| {
            let section = object.section_of(symbol);
            let is_kept =
                section.is_some_and(|it| it.is_alloc() && !it.name.starts_with(".discard"));
            symbol.is_local() && is_kept && (symbol.is_func() || symbol.is_object())
        })
        .filter(|symbol| !symbol.name.starts_with(".L") && !symbol.name.starts_with("__UNIQUE_ID_"))
        .map(|symbol| symbol.name)
}

/// Name of each source file, the number of its first symbol, and the one behind its last.
fn files<'d>(object: &Object<'d>) -> Vec<(&'d str, u32, u32)> {
    let mut files: Vec<(&'d str, u32, u32)> = Vec::new();
    let mut end = 0;
    for (id, symbol) in object.symbols_with_ids() {
        if symbol.is_file() {
            if let Some(last) = files.last_mut() {
                last.2 = id.0;
            }
            files.push((symbol.name, id.0, u32::MAX));
        }
        if symbol.is_local() {
            end = id.0.saturating_add(1);
        }
    }
    if let Some(last) = files.last_mut() {
        last.2 = end;
    }
    files
}

fn file_of<'d>(object: &Object<'d>, id: SymbolId) -> Option<(&'d str, u32, u32)> {
    let all = files(object);
    let behind = all.partition_point(|(_, first, _)| *first <= id.0);
    all.get(behind.checked_sub(1)?).copied()
}

/// Joins the entries of `.klp.symid` of both files by their numbers.
fn by_number(object: &Object<'_>, linked: &Object<'_>) -> BTreeMap<SymbolId, u64> {
    let sections = (
        object.section_named(SYMID_SECTION),
        linked.section_named(SYMID_SECTION),
    );
    let (Some((id, unresolved)), Some((_, resolved))) = sections else {
        return BTreeMap::new();
    };
    let number = |section: &Section<'_>, offset: u64| {
        let bytes = section.bytes(offset, 8)?;
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    };
    let starts = (0..resolved.size).step_by(16);
    let address_of: BTreeMap<u64, u64> = starts
        .filter_map(|start| {
            let address = number(resolved, start.checked_add(8)?)?;
            Some((number(resolved, start)?, address))
        })
        .collect();
    let entries = object.relocs(id).iter().filter_map(|reloc| {
        let entry = number(unresolved, reloc.offset.checked_sub(8)?)?;
        Some((reloc.symbol, *address_of.get(&entry)?))
    });
    entries.collect()
}
