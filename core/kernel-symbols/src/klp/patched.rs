//! Which functions a livepatch module replaces.
//!
//! A module made by `objtool klp` or `klp` has them in `.init.klp_objects` and `.init.klp_funcs`, which its init function
//! reads (`include/linux/livepatch_external.h`, `scripts/livepatch/init.c`, v7.3). One written by hand has them in data of
//! its own, which nothing tells apart.

use alloc::vec::Vec;

use klp_abi::records::{FUNCS_SECTION, OBJECTS_SECTION};
use object::elf::{SHT_RELA, SymbolSection};

use super::relocations::{Relocation, read};
use crate::module::Module;
use crate::name::Name;
use crate::object::VMLINUX;

/// An object that a livepatch module patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchedObject<'d> {
    /// `vmlinux`, or a module.
    pub name: Name<'d>,
    /// What is replaced in it.
    pub functions: Vec<PatchedFunction<'d>>,
}

/// A function that a livepatch module replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchedFunction<'d> {
    /// Its name.
    pub name: Name<'d>,
    /// Its position among those of its name; 0 when it must be the only one.
    pub position: u64,
}

/// A record that the init function would read wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record} of {section}: no relocation of {field} leads to {expected}")]
pub struct RecordError {
    /// Section of the record.
    pub section: &'static str,
    /// Number of the record, from 0.
    pub record: u64,
    /// Field of the record.
    pub field: &'static str,
    /// What it must point to.
    pub expected: &'static str,
}

/// Bytes of `struct klp_object_ext` and of `struct klp_func_ext`, and offsets of their fields; `klp-abi` proves them.
mod layout {
    pub(super) const OBJECT: u64 = size_of_u64::<klp_abi::ObjectExt>();
    pub(super) const OBJECT_FUNCS: u64 = 8;
    pub(super) const OBJECT_COUNT: u64 = 56;
    pub(super) const FUNC: u64 = size_of_u64::<klp_abi::FuncExt>();
    pub(super) const FUNC_POSITION: u64 = 16;

    #[expect(clippy::as_conversions, reason = "no other conversion is const")]
    const fn size_of_u64<T>() -> u64 {
        size_of::<T>() as u64
    }
}

/// Reads which functions a module replaces; none for a module that has no records of them.
///
/// # Errors
/// [`RecordError`].
pub fn parse_patched<'d>(module: &Module<'d>) -> Result<Vec<PatchedObject<'d>>, RecordError> {
    let (Some(objects), Some(funcs)) = (
        Records::of(module, OBJECTS_SECTION),
        Records::of(module, FUNCS_SECTION),
    ) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut start = 0_u64;
    while let Some(count) = objects.word::<4>(start, layout::OBJECT_COUNT) {
        let record = start.checked_div(layout::OBJECT).unwrap_or(0);
        let wrong = |field, expected| RecordError {
            section: OBJECTS_SECTION,
            record,
            field,
            expected,
        };
        let name = match objects.pointer(start) {
            None => VMLINUX.into(),
            Some(place) => module_string(module, place).ok_or(wrong("name", "a name"))?,
        };
        let first = objects.pointer(start.saturating_add(layout::OBJECT_FUNCS));
        let first = first.filter(|(section, _)| *section == funcs.number);
        let (_, first) = first.ok_or(wrong("funcs", FUNCS_SECTION))?;
        let count = u32::from_le_bytes(count);
        found.push(PatchedObject {
            name,
            functions: funcs.functions(first, count)?,
        });
        start = start.saturating_add(layout::OBJECT);
    }
    Ok(found)
}

/// A section of records with its relocations.
struct Records<'m, 'd> {
    module: &'m Module<'d>,
    number: usize,
    data: &'d [u8],
    relocations: Vec<Relocation>,
}

impl<'m, 'd> Records<'m, 'd> {
    fn of(module: &'m Module<'d>, name: &str) -> Option<Self> {
        let (number, section) = module.elf.section(name.as_bytes())?;
        let tables = module.elf.sections.iter().filter(|table| {
            table.kind == SHT_RELA && usize::try_from(table.info).is_ok_and(|it| it == number)
        });
        let mut relocations: Vec<Relocation> =
            tables.flat_map(|table| read(module, table)).collect();
        relocations.sort_by_key(|it| it.offset);
        Some(Self {
            module,
            number,
            data: section.data(module.elf.file),
            relocations,
        })
    }

    fn functions(&self, first: u64, count: u32) -> Result<Vec<PatchedFunction<'d>>, RecordError> {
        let mut functions = Vec::new();
        for number in 0..u64::from(count) {
            let inside = number.saturating_mul(layout::FUNC);
            let start = first.saturating_add(inside);
            let wrong = RecordError {
                section: FUNCS_SECTION,
                record: start.checked_div(layout::FUNC).unwrap_or(0),
                field: "old_name",
                expected: "a name",
            };
            // Ends with the section, whatever count a record has.
            let position = self.word::<8>(start, layout::FUNC_POSITION).ok_or(wrong)?;
            let place = self.pointer(start).ok_or(wrong)?;
            functions.push(PatchedFunction {
                name: module_string(self.module, place).ok_or(wrong)?,
                position: u64::from_le_bytes(position),
            });
        }
        Ok(functions)
    }

    fn word<const N: usize>(&self, start: u64, field: u64) -> Option<[u8; N]> {
        let at = usize::try_from(start.checked_add(field)?).ok()?;
        self.data.get(at..)?.first_chunk::<N>().copied()
    }

    /// The section and the offset that a field points to.
    fn pointer(&self, offset: u64) -> Option<(usize, u64)> {
        let at = self
            .relocations
            .binary_search_by_key(&offset, |it| it.offset)
            .ok()?;
        let relocation = self.relocations.get(at)?;
        let symbol = self.module.elf.raw_symbol(relocation.symbol)?;
        let SymbolSection(section) = symbol.section;
        let place = symbol.value.wrapping_add_signed(relocation.addend);
        (!symbol.is_undefined()).then_some((usize::from(section), place))
    }
}

/// The string at a place of a module.
fn module_string<'d>(module: &Module<'d>, (section, offset): (usize, u64)) -> Option<Name<'d>> {
    let section = module.elf.sections.get(section)?;
    let rest = section
        .data(module.elf.file)
        .get(usize::try_from(offset).ok()?..)?;
    let len = rest.iter().position(|byte| *byte == 0)?;
    Some(Name::new(rest.get(..len)?))
}
