//! Entries of special sections that are about some code: they go along with it.
//!
//! Sizes: `struct alt_instr`, `struct exception_table_entry`, `struct jump_entry`, `struct static_call_site`, one
//! address of `__mcount_loc`, `struct bug_entry`, `struct unwind_hint` (x86-64, v7.3). Where the section header says
//! another size of an entry, that counts.

use alloc::vec::Vec;

use elf_index::{Object, Section, SectionId};

use crate::obstacle::Obstacle;
use crate::target::Piece;

/// Sections with their usual size of an entry, in bytes. The first field of an entry says which code it is about.
const SECTIONS: [(&str, u64); 14] = [
    (".altinstructions", 14),
    ("__ex_table", 12),
    ("__jump_table", 16),
    (".static_call_sites", 8),
    ("__mcount_loc", 8),
    ("__bug_table", 16),
    (".kcfi_traps", 4),
    // Only for objtool, which reads them again when the module is linked.
    (".discard.annotate_insn", 8),
    (".discard.unwind_hints", 12),
    (".discard.func_stack_frame_non_standard", 8),
    (".discard.intra_function_calls", 8),
    (".discard.retpoline_safe", 8),
    (".discard.instr_begin", 8),
    (".discard.instr_end", 8),
];

/// What is made anew from the code when the module is linked, or that is of no use for it.
const MADE_ANEW: [&str; 12] = [
    ".orc_unwind",
    ".orc_unwind_ip",
    ".return_sites",
    ".retpoline_sites",
    ".call_sites",
    ".ibt_endbr_seal",
    ".cfi_sites",
    ".klp.symid",
    ".discard.addressable",
    ".discard.annotate_data",
    ".discard.sym_checksum",
    ".discard.klp_callback_ptrs",
];

/// Bytes of `struct alt_instr`, the offset of the place of its replacement, and those of the two lengths
/// (`arch/x86/include/asm/alternative.h`, v7.3).
const ALTERNATIVE: (u64, u64, usize, usize) = (14, 4, 12, 13);

/// Tells whether a section is one of those whose entries are about code.
pub(crate) fn is_special(section: &Section<'_>) -> bool {
    usual_size(section).is_some()
}

/// Tells whether a section needs no copying, though it is about code.
pub(crate) fn is_made_anew(section: &Section<'_>) -> bool {
    MADE_ANEW.contains(&section.name) || section.name.starts_with(".debug")
}

fn usual_size(section: &Section<'_>) -> Option<u64> {
    let known = SECTIONS.iter().find(|(name, _)| *name == section.name);
    known.map(|(_, usual)| *usual)
}

/// The entries of an object by the code they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpecialEntries {
    by_code: Vec<((SectionId, u64), Piece)>,
    /// Entries by their own place.
    entries: Vec<Piece>,
    replacements: Vec<Replacement>,
}

/// Code that is replaced by other code before it runs, as soon as it is loaded.
#[derive(Clone, Copy, Debug)]
struct Replacement {
    entry: Piece,
    replaced: Piece,
    by: Piece,
}

impl SpecialEntries {
    /// Reads the special sections; those that are no arrays of entries of a known size are told.
    pub(crate) fn new(object: &Object<'_>, obstacles: &mut Vec<Obstacle>) -> Self {
        let mut entries = Self::default();
        for (id, section) in object.sections_with_ids() {
            if let Some(usual) = usual_size(section) {
                let size = match section.entry_size {
                    0 | 1 => usual,
                    size => size,
                };
                if !entries.read(object, id, section, size) {
                    obstacles.push(Obstacle::SpecialLayout { section: id });
                }
            }
        }
        entries.by_code.sort_unstable();
        entries.entries = entries.by_code.iter().map(|(_, entry)| *entry).collect();
        entries.entries.sort_unstable();
        entries
    }

    /// Whether each entry begins with a place.
    fn read(
        &mut self,
        object: &Object<'_>,
        id: SectionId,
        section: &Section<'_>,
        size: u64,
    ) -> bool {
        let mut starts = 0_u64;
        for reloc in object.relocs(id).iter() {
            if reloc.offset.checked_rem(size) != Some(0) {
                continue;
            }
            starts = starts.saturating_add(1);
            let Some(code) = place(object, &reloc) else {
                continue;
            };
            let entry = Piece {
                section: id,
                start: reloc.offset,
                end: reloc.offset.saturating_add(size),
            };
            self.by_code.push((code, entry));
            if section.name == ".altinstructions" {
                self.replacements
                    .extend(replacement(object, section, entry, code));
            }
        }
        starts.checked_mul(size) == Some(section.size)
    }

    /// Entries about a range of a section.
    pub(crate) fn about(&self, piece: Piece) -> impl Iterator<Item = Piece> {
        let first = (piece.section, piece.start);
        let last = (piece.section, piece.end);
        let start = self.by_code.partition_point(|(code, _)| *code < first);
        let end = self.by_code.partition_point(|(code, _)| *code < last);
        let found = self.by_code.get(start..end).unwrap_or_default();
        found.iter().map(|(_, entry)| *entry)
    }

    /// The entry with a place: code may refer to its own.
    pub(crate) fn entry_at(&self, section: SectionId, offset: u64) -> Option<Piece> {
        let behind = self
            .entries
            .partition_point(|entry| (entry.section, entry.start) <= (section, offset));
        let entry = *self.entries.get(behind.checked_sub(1)?)?;
        (entry.section == section && entry.contains(offset)).then_some(entry)
    }

    /// The replacement with a place.
    pub(crate) fn replacement_at(&self, section: SectionId, offset: u64) -> Option<Piece> {
        let found = self
            .replacements
            .iter()
            .find(|it| it.by.section == section && it.by.contains(offset));
        found.map(|it| it.by)
    }

    /// The replacement that an entry has, which may be of no bytes.
    pub(crate) fn replacement_of(&self, entry: Piece) -> Option<Piece> {
        let found = self.replacements.iter().find(|it| it.entry == entry);
        found.map(|it| it.by)
    }

    /// Tells whether the code at a place is replaced before it runs.
    pub(crate) fn is_replaced(&self, section: SectionId, offset: u64) -> bool {
        self.replacements
            .iter()
            .any(|it| it.replaced.section == section && it.replaced.contains(offset))
    }
}

fn place(object: &Object<'_>, reloc: &elf_index::Reloc) -> Option<(SectionId, u64)> {
    let symbol = object.symbol(reloc.symbol)?;
    let place = symbol.value.wrapping_add_signed(reloc.addend);
    Some((symbol.place.section()?, place))
}

fn replacement(
    object: &Object<'_>,
    section: &Section<'_>,
    entry: Piece,
    code: (SectionId, u64),
) -> Option<Replacement> {
    let (size, by_at, replaced_len, by_len) = ALTERNATIVE;
    let bytes = section.bytes(entry.start, size)?;
    let len = |at: usize| bytes.get(at).copied().map(u64::from);
    let at = entry.start.saturating_add(by_at);
    let reloc = object
        .relocs(entry.section)
        .within(at..at.saturating_add(1))
        .first()?;
    let piece = |(section, start): (SectionId, u64), len: u64| Piece {
        section,
        start,
        end: start.saturating_add(len),
    };
    Some(Replacement {
        entry,
        replaced: piece(code, len(replaced_len)?),
        by: piece(place(object, &reloc)?, len(by_len)?),
    })
}
