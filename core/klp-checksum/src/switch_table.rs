//! Tables of jump targets, found as `objtool` finds them (v7.3): the instruction that jumps, or the nearest one before
//! it, refers to a table in read-only data, whose entries lead into the same function.

use alloc::vec::Vec;

use elf_index::{Object, Reloc, Relocs, Section, SectionId};
use object::elf;

use crate::insn::{Flow, Insn, Insns, meant_addend};
use crate::special::place;
use crate::transcript::At;

/// A function's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub(crate) section: SectionId,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// The place of the table an instruction refers to, if it refers to one.
fn table_of(object: &Object<'_>, reloc: &Reloc, insn: &Insn) -> Option<At> {
    let symbol = object.symbol(reloc.symbol)?;
    if !symbol.is_section() {
        return None;
    }
    let section = symbol.place.section()?;
    let header = object.section(section)?;
    if !may_have_tables(header) {
        return None;
    }
    let offset = u64::try_from(meant_addend(reloc, insn)).ok()?;
    // A table of constants is no table of places.
    let first = object
        .relocs(section)
        .within(offset..offset.checked_add(1)?);
    first.first()?;
    Some(At { section, offset })
}

/// A jump through a table.
#[derive(Clone, Debug)]
pub(crate) struct SwitchTable {
    /// Offset of the instruction that jumps.
    pub(crate) jump: u64,
    /// Offsets of the targets in the order of the slots.
    pub(crate) targets: Vec<u64>,
}

/// Every jump of a function that goes through a table.
pub(crate) fn of_function(
    object: &Object<'_>,
    body: &Body,
    code: &[u8],
    mut relocs: Relocs<'_>,
) -> Vec<SwitchTable> {
    let mut found: Vec<(u64, At)> = Vec::new();
    let mut last = None;
    // Most functions have none: they are not decoded once more for it.
    if !refers_to_rodata(object, relocs) {
        return Vec::new();
    }
    for insn in Insns::new(code, body.start) {
        if let Some(reloc) = relocs.take_below(insn.end()).first() {
            last = table_of(object, &reloc, &insn).or(last);
        }
        if insn.flow == Flow::IndirectJump {
            found.extend(last.take().map(|table| (insn.offset, table)));
        }
    }
    let tables = found.iter().map(|(jump, table)| {
        // A table ends where another begins.
        let others = found.iter().map(|(_, other)| *other);
        let end = others
            .filter(|other| other.section == table.section && other.offset > table.offset)
            .map(|other| other.offset)
            .min();
        SwitchTable {
            jump: *jump,
            targets: targets(object, *table, end.unwrap_or(u64::MAX), body),
        }
    });
    tables.collect()
}

fn refers_to_rodata(object: &Object<'_>, relocs: Relocs<'_>) -> bool {
    relocs.iter().any(|reloc| {
        object
            .symbol(reloc.symbol)
            .filter(|symbol| symbol.is_section())
            .and_then(|symbol| object.section_of(symbol))
            .is_some_and(may_have_tables)
    })
}

/// Tables are read-only data, or what `__annotate_jump_table` puts aside (`include/linux/compiler.h`, v7.3).
fn may_have_tables(section: &Section<'_>) -> bool {
    let is_rodata = section.name.starts_with(".rodata") && !section.is_strings();
    is_rodata || section.name.ends_with(".c_jump_table")
}

/// The targets of a table in the order of its slots.
fn targets(object: &Object<'_>, table: At, end: u64, body: &Body) -> Vec<u64> {
    let mut targets = Vec::new();
    let mut expected = table.offset;
    for reloc in object
        .relocs(table.section)
        .within(table.offset..end)
        .iter()
    {
        if reloc.offset != expected {
            break;
        }
        if elf::RelocationType(reloc.kind) != elf::R_X86_64_64 {
            break;
        }
        let Some(at) = place(object, &reloc) else {
            break;
        };
        let is_inside = at.section == body.section && (body.start..body.end).contains(&at.offset);
        // A pointer to the function itself belongs to whatever comes behind the table.
        if !is_inside || at.offset == body.start {
            break;
        }
        targets.push(at.offset);
        expected = expected.saturating_add(8);
    }
    targets
}
