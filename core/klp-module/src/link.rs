//! [`link`]: livepatch relocations of a linked module.
//!
//! The diff leaves, for each relocation that the livepatch core must apply, a record in `__klp_relocs.OBJECT` and a
//! relocation against a weak symbol without a definition, which keeps its place while linkers move sections. Here each record
//! becomes a relocation of `.klp.rela.OBJECT.SECTION`, and what kept its place becomes none.
//!
//! Everything else stays where it is: symbols keep their numbers, sections theirs. New sections, the longer table of their
//! names and the section headers are appended.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use elf_index::{Object, Reloc, SectionId, Symbol, SymbolId};
use klp_abi::records::{RELOCS_PREFIX, TOMBSTONE_PREFIX};
use klp_abi::{KlpRelaSection, NameError, RelocRecord, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};
use object::Endianness;
use object::elf::{SHF_ALLOC, SHF_INFO_LINK, SHN_LORESERVE, SHT_PROGBITS, SHT_RELA};
use zerocopy::FromBytes as _;

use crate::rewrite::{Contents, NewSection, Rewrite};

/// A module that cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The file is no object.
    #[error("read the file: {0}")]
    Object(#[from] elf_index::Error),
    /// Parts of the file lie over each other.
    #[error("read the finished file: {0}; parts of the file overlap")]
    Overlap(elf_index::Error),
    /// Another byte order than that of any kernel with livepatching built by this format.
    #[error("read the file: it is big-endian, and records are little-endian")]
    ByteOrder,
    /// There are livepatch relocations already.
    #[error("add livepatch relocations: section {section} has some already")]
    AlreadyLinked {
        /// Name of the section.
        section: String,
    },
    /// No symbols.
    #[error("find symbols: the file has none")]
    NoSymbols,
    /// A section of records is no array of them, or lacks relocations.
    #[error("read record {record} of {section}: {expected}")]
    Record {
        /// Name of the section.
        section: String,
        /// Number of the record.
        record: u64,
        /// What was expected.
        expected: &'static str,
    },
    /// Nothing keeps the place of a relocation.
    #[error(
        "find the place of record {record} of {section}: {count} relocations against symbols {TOMBSTONE_PREFIX}* are at \
         {offset:#x} of {target}, expected 1"
    )]
    Place {
        /// Name of the section of records.
        section: String,
        /// Number of the record.
        record: u64,
        /// Relocated section.
        target: String,
        /// Offset in it.
        offset: u64,
        /// Relocations found.
        count: usize,
    },
    /// A name that the livepatch core would read differently.
    #[error("name livepatch relocations of {section}, waiting for {object}: {source}")]
    Name {
        /// Object.
        object: String,
        /// Section.
        section: String,
        /// Why not.
        source: NameError,
    },
    /// The file contradicts itself: what was read from it is not there.
    #[error("write {bytes} bytes at {offset:#x}: they are not in the file")]
    Outside {
        /// Offset in the file.
        offset: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// More sections than a module can have.
    #[error("add {added} sections to {count}: a module has less than 65280")]
    TooManySections {
        /// Sections of the file.
        count: usize,
        /// Sections to add.
        added: usize,
    },
}

/// A finished module.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The file.
    pub bytes: Vec<u8>,
    /// Livepatch relocations.
    pub relocations: usize,
    /// Livepatch symbols.
    pub symbols: usize,
}

/// Livepatch relocations to be, and the object they wait for.
#[derive(Clone, Debug, Default)]
struct Group {
    waits_for: String,
    relocs: Vec<Reloc>,
}

/// Makes livepatch relocations of the records of a module.
///
/// # Errors
///
/// Any [`LinkError`]; the module cannot be used then.
pub fn link(file: &[u8]) -> Result<Linked, LinkError> {
    let object = Object::parse(file)?;
    if object.header().endian != Endianness::Little {
        return Err(LinkError::ByteOrder);
    }
    let done = object
        .sections()
        .iter()
        .find(|section| section.flags.0 & SHF_RELA_LIVEPATCH != 0);
    if let Some(section) = done {
        return Err(LinkError::AlreadyLinked {
            section: section.name.into(),
        });
    }
    let table = object.symbol_table().ok_or(LinkError::NoSymbols)?;
    let mut linker = Linker {
        object: &object,
        rewrite: Rewrite::new(file, &object)?,
        symbols: BTreeSet::new(),
        groups: BTreeMap::new(),
    };
    for (id, section) in object.sections_with_ids() {
        let waits_for = section.name.strip_prefix(RELOCS_PREFIX);
        if let Some(waits_for) = waits_for.filter(|_| section.kind == SHT_PROGBITS) {
            linker.records(id, section.name, waits_for)?;
        }
    }
    let relocations = linker.groups.values().map(|it| it.relocs.len()).sum();
    let names = linker.symbols.iter().filter(|id| {
        let name = object.symbol(**id).map_or("", |symbol| symbol.name);
        !name.starts_with(TOMBSTONE_PREFIX)
    });
    let symbols = names.count();
    let bytes = linker.finish(table)?;
    // Tables that overlap were read one by one, and writing one damaged another.
    Object::parse(&bytes).map_err(LinkError::Overlap)?;
    Ok(Linked {
        bytes,
        relocations,
        symbols,
    })
}

struct Linker<'o, 'd> {
    object: &'o Object<'d>,
    rewrite: Rewrite<'d>,
    /// Symbols that the livepatch core resolves, and those that kept places.
    symbols: BTreeSet<SymbolId>,
    /// By the section of their records and the section they are of, both in the order of the file.
    groups: BTreeMap<(SectionId, SectionId), Group>,
}

impl Linker<'_, '_> {
    fn records(&mut self, id: SectionId, name: &str, waits_for: &str) -> Result<(), LinkError> {
        let section = self.object.section(id);
        let data = section.map(|section| section.data).unwrap_or_default();
        let wrong = |record, expected| LinkError::Record {
            section: name.into(),
            record,
            expected,
        };
        let records = <[RelocRecord]>::ref_from_bytes(data);
        let records = records
            .ok()
            .ok_or_else(|| wrong(0, "the section is no array of records of 24 bytes"))?;
        let relocs = self.object.relocs(id);
        let size = u64::try_from(size_of::<RelocRecord>()).unwrap_or(0);
        for (record, number) in records.iter().zip(0_u64..) {
            let start = number.saturating_mul(size);
            let field = |at: u64| {
                let at = start.saturating_add(at);
                relocs.within(at..at.saturating_add(1)).first()
            };
            let place = field(0).and_then(|reloc| {
                let symbol = self.object.symbol(reloc.symbol)?;
                let offset = symbol.value.wrapping_add_signed(reloc.addend);
                Some((symbol.place.section()?, offset))
            });
            let (target, offset) =
                place.ok_or_else(|| wrong(number, "a relocation in its first field"))?;
            let symbol =
                field(8).ok_or_else(|| wrong(number, "a relocation in its second field"))?;
            self.tombstone(name, number, target, offset)?;
            self.symbols.insert(symbol.symbol);
            let group = self.groups.entry((id, target)).or_insert_with(|| Group {
                waits_for: waits_for.into(),
                relocs: Vec::new(),
            });
            group.relocs.push(Reloc {
                offset,
                symbol: symbol.symbol,
                kind: record.kind.get(),
                addend: symbol.addend,
            });
        }
        Ok(())
    }

    /// Makes nothing of the relocation that kept a place.
    fn tombstone(
        &mut self,
        section: &str,
        record: u64,
        target: SectionId,
        offset: u64,
    ) -> Result<(), LinkError> {
        let mut found = Vec::new();
        let of_target = self
            .object
            .sections_with_ids()
            .filter(|(_, section)| section.kind == SHT_RELA && section.info == target.0);
        for (id, header) in of_target {
            let relocs = self.object.relocation_section(id)?;
            for (reloc, number) in relocs.iter().zip(0_u64..) {
                let symbol = self.object.symbol(reloc.symbol);
                if reloc.offset == offset && symbol.is_some_and(is_tombstone) {
                    found.push((header.offset, number, reloc.symbol));
                }
            }
        }
        let [(start, number, symbol)] = *found.as_slice() else {
            let header = self.object.section(target);
            return Err(LinkError::Place {
                section: section.into(),
                record,
                target: header.map_or("", |header| header.name).into(),
                offset,
                count: found.len(),
            });
        };
        self.symbols.insert(symbol);
        self.rewrite.unmake_reloc(start, number)
    }

    fn finish(mut self, table: SectionId) -> Result<Vec<u8>, LinkError> {
        let symbols = self
            .object
            .section(table)
            .map_or(0, |section| section.offset);
        for id in &self.symbols {
            self.rewrite
                .set_symbol_section(symbols, *id, SHN_LIVEPATCH)?;
        }
        let mut added = Vec::new();
        for ((_, target), Group { waits_for, relocs }) in self.groups {
            let section = self.object.section(target);
            let section = section.map_or("", |section| section.name);
            let name = KlpRelaSection::new(&waits_for, section);
            let name = name.map_err(|source| LinkError::Name {
                object: waits_for.clone(),
                section: section.into(),
                source,
            })?;
            added.push(NewSection {
                name: name.to_string(),
                flags: SHF_ALLOC.0 | SHF_INFO_LINK.0 | SHF_RELA_LIVEPATCH,
                link: table.0,
                info: target.0,
                contents: Contents::Relocs(relocs),
            });
        }
        // The kernel's loader takes the number of sections from the header alone (`kernel/module/main.c`, v7.3).
        let count = self.object.sections().len();
        if count.saturating_add(added.len()) >= usize::from(SHN_LORESERVE) {
            return Err(LinkError::TooManySections {
                count,
                added: added.len(),
            });
        }
        self.rewrite.append(added)
    }
}

fn is_tombstone(symbol: &Symbol<'_>) -> bool {
    symbol.name.starts_with(TOMBSTONE_PREFIX)
}
