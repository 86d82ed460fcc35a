//! What is said about copied code elsewhere in the object, and would be missing in a module.
//!
//! Each new kernel may have a new section that lists places in functions. One that nobody knows here would be left out, and
//! the module would load and be wrong; so every section with a relocation into the inside of copied code must be known.

use alloc::vec::Vec;

use elf_index::{Object, Section, SymbolId};

use klp_abi::VMLINUX;

use crate::exports::Exports;
use crate::obstacle::Obstacle;
use crate::plan::{Plan, Reach};
use crate::special::{is_made_anew, is_special};
use crate::target::{Piece, Target, target};

/// Start of the names of sections that list instructions with constants, which the kernel writes into them
/// (`include/asm-generic/vmlinux.lds.h`, `RUNTIME_CONST_VARIABLES`, v7.3).
const RUNTIME: &str = "runtime_";

/// Of those, what a module can do without: the constant is a pointer that the instruction can read from its variable.
const RUNTIME_POINTER: &str = "runtime_ptr_";

pub(crate) fn about_copied_code(object: &Object<'_>, plan: &mut Plan<'_>) {
    let code = copied_functions(object, plan);
    if code.is_empty() {
        return;
    }
    let mut found = Vec::new();
    for (id, section) in object.sections_with_ids() {
        let is_code = section.is_text() || is_special(section) || is_made_anew(section);
        let is_seen = section.is_alloc() || section.name.starts_with(".discard");
        if is_code || !is_seen {
            continue;
        }
        for reloc in object.relocs(id).iter() {
            let symbol = object.symbol(reloc.symbol);
            let place = symbol.and_then(|symbol| {
                let offset = symbol.value.wrapping_add_signed(reloc.addend);
                Some((symbol.place.section()?, offset))
            });
            let Some((function, is_inside)) = place.and_then(|place| function_at(&code, place))
            else {
                continue;
            };
            if is_fixed_constant(section) {
                found.push(Obstacle::RuntimeConstant {
                    section: id,
                    function,
                });
            } else if is_inside
                && !is_pointer_constant(section)
                && !is_copied(plan, id, reloc.offset)
            {
                found.push(Obstacle::UnknownSpecial {
                    section: id,
                    function,
                });
            }
        }
    }
    plan.obstacles.extend(found);
}

/// Sections of branches that a key switches, with the offset of the key in an entry (`include/linux/jump_label.h`,
/// `include/linux/static_call_types.h`, v7.3).
const KEYS: [(&str, u64); 2] = [("__jump_table", 8), (".static_call_sites", 4)];

/// Branches are switched when a module is loaded. Symbols of the kernel are looked up before that, symbols of a module when
/// that module is there.
pub(crate) fn keys(object: &Object<'_>, exports: &Exports<'_>, plan: &mut Plan<'_>) {
    let mut found = Vec::new();
    for entry in &plan.entries {
        let name = object.section(entry.section).map_or("", |it| it.name);
        let Some((_, key_at)) = KEYS.iter().find(|(section, _)| *section == name) else {
            continue;
        };
        let at = entry.start.saturating_add(*key_at);
        let relocs = object.relocs(entry.section);
        let Some(reloc) = relocs.within(at..at.saturating_add(1)).first() else {
            continue;
        };
        let key = match target(object, *entry, &reloc) {
            Target::Symbol(id)
            | Target::Place {
                symbol: Some(id), ..
            } => id,
            Target::None | Target::Place { symbol: None, .. } => continue,
        };
        let is_in_module = match plan.symbols.get(&key) {
            Some(Reach::InModule { .. }) => true,
            Some(Reach::InPatchedObject { .. } | Reach::Unknown) => exports.patched() != VMLINUX,
            Some(Reach::Copied | Reach::Exported) | None => false,
        };
        if is_in_module {
            found.push(Obstacle::KeyInModule {
                section: entry.section,
                key,
            });
        }
    }
    plan.obstacles.extend(found);
}

fn is_pointer_constant(section: &Section<'_>) -> bool {
    section.name.starts_with(RUNTIME_POINTER)
}

fn is_fixed_constant(section: &Section<'_>) -> bool {
    section.name.starts_with(RUNTIME) && !is_pointer_constant(section)
}

/// Copied functions by place.
fn copied_functions(object: &Object<'_>, plan: &Plan<'_>) -> Vec<(Piece, SymbolId)> {
    let copied = plan
        .symbols
        .iter()
        .filter(|(_, reach)| **reach == Reach::Copied);
    let mut code: Vec<(Piece, SymbolId)> = copied
        .filter_map(|(id, _)| {
            let symbol = object.symbol(*id).filter(|symbol| symbol.is_func())?;
            let piece = Piece {
                section: symbol.place.section()?,
                start: symbol.value,
                end: symbol.end(),
            };
            Some((piece, *id))
        })
        .collect();
    code.sort_unstable();
    code
}

/// The function at a place, and whether the place is not its start.
fn function_at(
    code: &[(Piece, SymbolId)],
    (section, offset): (elf_index::SectionId, u64),
) -> Option<(SymbolId, bool)> {
    let behind =
        code.partition_point(|(piece, _)| (piece.section, piece.start) <= (section, offset));
    let (piece, function) = code.get(behind.checked_sub(1)?)?;
    let is_in = piece.section == section && piece.contains(offset);
    is_in.then_some((*function, offset > piece.start))
}

fn is_copied(plan: &Plan<'_>, section: elf_index::SectionId, offset: u64) -> bool {
    let least = Piece {
        section,
        start: 0,
        end: 0,
    };
    let greatest = Piece {
        section,
        start: u64::MAX,
        end: u64::MAX,
    };
    plan.pieces
        .range(least..=greatest)
        .any(|piece| piece.contains(offset))
}
