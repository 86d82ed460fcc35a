//! Relocations of livepatch modules.

use alloc::vec::Vec;

use object::elf::{Rela64, SHT_RELA};
use object::{Endianness, U64};

use super::names::{KlpNameError, parse_rela_section_name};
use crate::elf::Section;
use crate::module::Module;
use crate::name::Name;

pub use klp_abi::{SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};

/// A section of livepatch relocations, or one that looks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaSection<'d> {
    /// Its number.
    pub number: usize,
    /// Its name.
    pub name: Name<'d>,
    /// Object and section, as its name says.
    pub names: Result<(Name<'d>, Name<'d>), KlpNameError>,
    /// Whether it has the flag [`SHF_RELA_LIVEPATCH`].
    pub is_marked: bool,
    /// Number of the section that is relocated (`sh_info`).
    pub target: u32,
    /// Name of that section; `None` when there is no such, or it is not in memory: then the kernel passes over the
    /// relocations.
    pub target_name: Option<Name<'d>>,
    /// The relocations.
    pub relocations: Vec<Relocation>,
}

/// A relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where in the section, in bytes.
    pub offset: u64,
    /// Number of the symbol.
    pub symbol: u32,
    /// Type, of the machine.
    pub kind: u32,
    /// Addend.
    pub addend: i64,
}

/// The sections of a module that livepatch applies: marked with [`SHF_RELA_LIVEPATCH`], or named so.
#[must_use]
pub fn parse_rela_sections<'d>(module: &Module<'d>) -> Vec<RelaSection<'d>> {
    let sections = module.elf.sections.iter().enumerate();
    sections
        .filter(|(_, section)| section.kind == SHT_RELA && is_klp(section))
        .map(|(number, section)| RelaSection {
            number,
            name: Name::new(section.name),
            names: parse_rela_section_name(section.name),
            is_marked: section.flags.0 & SHF_RELA_LIVEPATCH != 0,
            target: section.info,
            target_name: target(module, section),
            relocations: read(module, section).collect(),
        })
        .collect()
}

/// The relocations that the module loader applies itself: section, and what is in it.
pub(super) fn ordinary<'m, 'd>(
    module: &'m Module<'d>,
) -> impl Iterator<Item = (Name<'d>, Relocation)> + use<'m, 'd> {
    let sections = module.elf.sections.iter();
    sections
        .filter(|section| section.kind == SHT_RELA && section.flags.0 & SHF_RELA_LIVEPATCH == 0)
        .filter(|section| target(module, section).is_some())
        .flat_map(|section| read(module, section).map(|it| (Name::new(section.name), it)))
}

fn is_klp(section: &Section<'_>) -> bool {
    section.flags.0 & SHF_RELA_LIVEPATCH != 0
        || section.name.starts_with(klp_abi::RELA_PREFIX.as_bytes())
}

fn target<'d>(module: &Module<'d>, section: &Section<'d>) -> Option<Name<'d>> {
    let number = usize::try_from(section.info).ok()?;
    let target = module.elf.sections.get(number)?;
    module
        .is_allocated(number)
        .then_some(Name::new(target.name))
}

pub(crate) fn read<'d>(
    module: &Module<'d>,
    section: &Section<'d>,
) -> impl Iterator<Item = Relocation> + use<'d> {
    let endian = module.elf.endian;
    let (entries, _rest) = section
        .data(module.elf.file)
        .as_chunks::<{ size_of::<Entry>() }>();
    entries.iter().filter_map(move |bytes| {
        let (entry, _) = object::pod::from_bytes::<Entry>(bytes).ok()?;
        Some(Relocation {
            offset: entry.r_offset.get(endian),
            symbol: entry.r_sym(endian, false),
            kind: entry.r_type(endian, false).0,
            addend: entry.r_addend.get(endian),
        })
    })
}

type Entry = Rela64<Endianness>;
const _: () = assert!(size_of::<U64<Endianness>>() == 8 && size_of::<Entry>() == 24);
