//! Entries of special sections that are about some code: they go along with it.
//!
//! Sizes: `struct alt_instr`, `struct exception_table_entry`, `struct jump_entry`, `struct static_call_site`, one
//! address of `__mcount_loc`, `struct bug_entry` (x86-64, v7.3). Where the section header says another size of an
//! entry, that counts.

use alloc::vec::Vec;
use core::ops::Range;

use elf_index::{Object, SectionId};

/// Sections with their usual size of an entry, in bytes.
const SECTIONS: [(&str, u64); 6] = [
    (".altinstructions", 14),
    ("__ex_table", 12),
    ("__jump_table", 16),
    (".static_call_sites", 8),
    ("__mcount_loc", 8),
    ("__bug_table", 16),
];

/// An entry: its section, first byte, and one past its last.
pub(crate) type Entry = (SectionId, u64, u64);

/// The entries of an object by the code they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpecialEntries {
    by_code: Vec<((SectionId, u64), Entry)>,
}

impl SpecialEntries {
    pub(crate) fn new(object: &Object<'_>) -> Self {
        let mut by_code = Vec::new();
        for (id, section) in object.sections_with_ids() {
            let known = SECTIONS.iter().find(|(name, _)| *name == section.name);
            let Some((_, usual)) = known else {
                continue;
            };
            let size = match section.entry_size {
                0 | 1 => *usual,
                size => size,
            };
            for reloc in object.relocs(id).iter() {
                // The first field of an entry says what it is about.
                if reloc.offset.checked_rem(size) != Some(0) {
                    continue;
                }
                let code = object.symbol(reloc.symbol).and_then(|symbol| {
                    let place = symbol.value.wrapping_add_signed(reloc.addend);
                    Some((symbol.place.section()?, place))
                });
                let entry = (id, reloc.offset, reloc.offset.saturating_add(size));
                by_code.extend(code.map(|code| (code, entry)));
            }
        }
        by_code.sort_unstable();
        Self { by_code }
    }

    /// Entries about a range of a section.
    pub(crate) fn about(
        &self,
        section: SectionId,
        range: Range<u64>,
    ) -> impl Iterator<Item = Entry> {
        let first = (section, range.start);
        let last = (section, range.end);
        let start = self.by_code.partition_point(|(code, _)| *code < first);
        let end = self.by_code.partition_point(|(code, _)| *code < last);
        let found = self.by_code.get(start..end).unwrap_or_default();
        found.iter().map(|(_, entry)| *entry)
    }
}
