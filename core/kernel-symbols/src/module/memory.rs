//! The pieces of memory that a module has, and which of its sections are where.
//!
//! From `__layout_sections`, `layout_symtab` and `module_memory_alloc` (`kernel/module/main.c`,
//! `kernel/module/kallsyms.c`, v7.3).

use alloc::vec::Vec;

use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, Sym64};

use super::{Module, PER_CPU, PER_CPU_BASE, Phase};
use crate::elf::Section;
use crate::region::{PAGE_BYTES, Region, page_end};

/// A piece of memory (`enum mod_mem_type`, `include/linux/module.h`, v7.3), in the order in which [`Module::table`] has
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Memory {
    Text,
    RoData,
    RoAfterInit,
    Data,
    InitText,
    InitRoData,
    InitData,
}

/// Sections that are read-only after init, whatever their flags (`module_mark_ro_after_init`,
/// `kernel/module/strict_rwx.c`, v7.3).
const RO_AFTER_INIT: [&[u8]; 3] = [
    b".data..ro_after_init",
    b"__jump_table",
    b".static_call_sites",
];
/// Sections that the kernel reads and does not keep, whatever their flags.
const NOT_KEPT: [&[u8]; 5] = [
    b".modinfo",
    b"__versions",
    b"__version_ext_crcs",
    b"__version_ext_names",
    PER_CPU,
];

impl Memory {
    const ALL: [Self; 7] = [
        Self::Text,
        Self::RoData,
        Self::RoAfterInit,
        Self::Data,
        Self::InitText,
        Self::InitRoData,
        Self::InitData,
    ];

    /// Where a section goes; nowhere when it is not kept.
    pub(crate) fn of(section: &Section<'_>) -> Option<Self> {
        if !section.has(SHF_ALLOC) || NOT_KEPT.contains(&section.name) {
            return None;
        }
        let is_init = section.name.starts_with(b".init");
        let is_after_init = RO_AFTER_INIT.contains(&section.name);
        Some(match is_init {
            false if section.has(SHF_EXECINSTR) => Self::Text,
            false if !section.has(SHF_WRITE) => Self::RoData,
            false if is_after_init => Self::RoAfterInit,
            false => Self::Data,
            true if section.has(SHF_EXECINSTR) => Self::InitText,
            true if !section.has(SHF_WRITE) => Self::InitRoData,
            true => Self::InitData,
        })
    }

    /// Whether it is there after the init function.
    pub(crate) const fn stays(self) -> bool {
        matches!(
            self,
            Self::Text | Self::RoData | Self::RoAfterInit | Self::Data
        )
    }
}

/// Addresses of sections, by their number.
pub(crate) type Placement = Vec<Option<u64>>;

/// Where the kernel says that a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionAddress<'s> {
    /// Its name: that of the file in `/sys/module/NAME/sections`.
    pub name: &'s str,
    /// Its address: what is in that file.
    pub addr: u64,
}

impl Module<'_> {
    /// Lays out sections.
    pub(crate) fn simulated(&self, base: u64) -> Placement {
        let mut placement = self.unplaced();
        let mut next = base;
        for memory in Memory::ALL {
            let start = next;
            for ((section, of), place) in self
                .elf
                .sections
                .iter()
                .zip(&self.memory)
                .zip(&mut placement)
            {
                if *of == Some(memory) {
                    let addr = aligned(next, section.align);
                    *place = Some(addr);
                    next = addr.saturating_add(section.size);
                }
            }
            if memory == Memory::Data {
                next = self.behind_kept_symbols(next);
            }
            if next != start {
                next = page_end(next.saturating_sub(1));
            }
        }
        placement
    }

    /// Puts sections where they are; those of one name in the order of the file.
    pub(super) fn placed(&self, sections: &[SectionAddress<'_>]) -> Placement {
        let mut placement = self.unplaced();
        for (number, (section, place)) in self.elf.sections.iter().zip(&mut placement).enumerate() {
            if self.memory.get(number).copied().flatten().is_some() {
                let before = self.elf.sections.iter().take(number);
                let before = before.filter(|it| it.name == section.name).count();
                let mut named = sections
                    .iter()
                    .filter(|it| it.name.as_bytes() == section.name);
                *place = named.nth(before).map(|it| it.addr);
            }
        }
        placement
    }

    fn unplaced(&self) -> Placement {
        let sections = 0..self.elf.sections.len();
        sections
            .map(|number| (Some(number) == self.per_cpu).then_some(PER_CPU_BASE))
            .collect()
    }

    /// The regions of a module whose sections are there.
    pub(crate) fn regions(&self, placement: &Placement, phase: Phase) -> Vec<Region> {
        let is_there = |memory: &Memory| phase == Phase::Loading || memory.stays();
        let regions = Memory::ALL
            .into_iter()
            .filter(is_there)
            .filter_map(|memory| {
                let mut region: Option<Region> = None;
                let sections = self.elf.sections.iter().zip(&self.memory).zip(placement);
                for ((section, of), place) in sections {
                    if let (true, Some(addr)) = (*of == Some(memory), *place) {
                        let end = addr.saturating_add(section.size);
                        let start = region.map_or(addr, |it| it.start.min(addr));
                        let end = region.map_or(end, |it| it.end.max(end));
                        region = Some(Region { start, end });
                    }
                }
                let mut region = region?;
                if memory == Memory::Data {
                    region.end = self.behind_kept_symbols(region.end);
                }
                // Memory starts with a page; the first section may be aligned to more than a byte.
                region.start &= !PAGE_BYTES.saturating_sub(1);
                region.end = page_end(region.end.saturating_sub(1)).max(region.start);
                Some(region)
            });
        regions.collect()
    }

    /// Behind its data a module has the symbols that stay: entries, names, letters.
    fn behind_kept_symbols(&self, data_end: u64) -> u64 {
        let mut entries = 0_u64;
        let mut names = 0_u64;
        for (number, symbol) in self.elf.raw_symbols().enumerate() {
            if number == 0 || self.is_core(symbol) {
                entries = entries.saturating_add(1);
                let name = u64::try_from(self.elf.string(symbol.name).len()).unwrap_or(0);
                names = names.saturating_add(name).saturating_add(1);
            }
        }
        let entry_bytes = u64::try_from(size_of::<Sym64<object::Endianness>>()).unwrap_or(0);
        aligned(data_end, self.elf.symbols_align)
            .saturating_add(entries.saturating_mul(entry_bytes))
            .saturating_add(names)
            .saturating_add(entries)
    }
}

/// The first multiple of `align` not below `addr`; `addr` when the alignment is none.
const fn aligned(addr: u64, align: u64) -> u64 {
    if align.is_power_of_two() {
        let below = align.wrapping_sub(1);
        addr.saturating_add(below) & !below
    } else {
        addr
    }
}
