//! Entries of special sections by the place in the code that they are about.
//!
//! Layouts: `struct alt_instr` of `arch/x86/include/asm/alternative.h`, `struct exception_table_entry` of
//! `arch/x86/include/asm/extable.h`, `struct jump_entry` of `include/linux/jump_label.h` (v7.3).

use alloc::vec::Vec;

use elf_index::{Object, Reloc, SectionId};

use crate::transcript::At;

/// What else may run, or run next, at a place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    /// Other instructions, chosen by a feature of the processor.
    Replacement {
        /// What chooses.
        feature: u32,
        /// Bytes that are replaced.
        replaced: u64,
        /// Section of the replacement.
        section: SectionId,
        /// Offset of the replacement.
        offset: u64,
        /// Its bytes.
        len: u64,
    },
    /// A jump that a static key turns on and off.
    JumpLabel {
        /// Section of the target.
        section: SectionId,
        /// Offset of the target.
        offset: u64,
        /// The entry in its own section.
        entry: At,
    },
    /// What runs after a fault.
    Fixup {
        /// Section of the target.
        section: SectionId,
        /// Offset of the target.
        offset: u64,
        /// The entry in its own section.
        entry: At,
    },
}

/// Special entries by the place in the code.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpecialIndex {
    /// By place; those of one place in the order of sections and entries.
    entries: Vec<(At, Alternative)>,
}

/// A table of entries of one size.
#[derive(Clone, Copy, Debug)]
struct Layout {
    section: &'static str,
    entry: u64,
    /// Offset of the relocation for the second place.
    second: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Replacement,
    JumpLabel,
    Fixup,
}

const LAYOUTS: [Layout; 3] = [
    Layout {
        section: ".altinstructions",
        entry: 14,
        second: 4,
        kind: Kind::Replacement,
    },
    Layout {
        section: "__jump_table",
        entry: 16,
        second: 4,
        kind: Kind::JumpLabel,
    },
    Layout {
        section: "__ex_table",
        entry: 12,
        second: 4,
        kind: Kind::Fixup,
    },
];

impl SpecialIndex {
    /// Reads the special sections of an object for x86-64.
    pub(crate) fn new(object: &Object<'_>) -> Self {
        let mut entries = Vec::new();
        for layout in LAYOUTS {
            for (id, section) in object.sections_with_ids() {
                if section.name != layout.section {
                    continue;
                }
                let mut start = 0_u64;
                while let Some(bytes) = section.bytes(start, layout.entry) {
                    entries.extend(entry(object, id, layout, start, bytes));
                    start = start.saturating_add(layout.entry);
                }
            }
        }
        entries.sort_by_key(|(at, _)| *at);
        Self { entries }
    }

    /// Entries about places in a range, by ascending place.
    pub(crate) fn within(
        &self,
        section: SectionId,
        range: core::ops::Range<u64>,
    ) -> &[(At, Alternative)] {
        let at = |offset| At { section, offset };
        let first = self
            .entries
            .partition_point(|(place, _)| *place < at(range.start));
        let last = self
            .entries
            .partition_point(|(place, _)| *place < at(range.end));
        self.entries.get(first..last).unwrap_or_default()
    }
}

fn entry(
    object: &Object<'_>,
    id: SectionId,
    layout: Layout,
    start: u64,
    bytes: &[u8],
) -> Option<(At, Alternative)> {
    let relocs = object.relocs(id);
    let reloc_at = |offset: u64| {
        let at = start.saturating_add(offset);
        relocs.within(at..at.saturating_add(1)).first()
    };
    let code = place(object, &reloc_at(0)?)?;
    let byte = |at: usize| bytes.get(at).copied().map_or(0, u64::from);
    let target = match reloc_at(layout.second) {
        Some(reloc) => place(object, &reloc)?,
        None => return None,
    };
    let At { section, offset } = target;
    let entry = At {
        section: id,
        offset: start,
    };
    let alternative = match layout.kind {
        Kind::Replacement => {
            let feature = bytes.get(8..12)?.first_chunk::<4>()?;
            Alternative::Replacement {
                feature: u32::from_le_bytes(*feature),
                replaced: byte(12),
                section,
                offset,
                len: byte(13),
            }
        }
        Kind::JumpLabel => Alternative::JumpLabel {
            section,
            offset,
            entry,
        },
        Kind::Fixup => Alternative::Fixup {
            section,
            offset,
            entry,
        },
    };
    Some((code, alternative))
}

/// Where a relocation of a table leads.
pub(crate) fn place(object: &Object<'_>, reloc: &Reloc) -> Option<At> {
    let symbol = object.symbol(reloc.symbol)?;
    Some(At {
        section: symbol.place.section()?,
        offset: symbol.value.wrapping_add_signed(reloc.addend),
    })
}
