//! The machine that a handover is for: its memory, its scratch areas, and what is left to compose in.

use std::ops::Range;

use handoff::{E820Entry, E820Kind, MapError, MemoryMap};
use kexec_sys::{Machine, MachinePaths};
use kho::{Area, PageSize, PhysAddr, ScratchAreas, SparseMemory};
use serde::Deserialize;

use crate::value::{MemoryKind, Number};

const MIB: u64 = 1 << 20;
/// Memory unless the plan says otherwise.
const DEFAULT_BYTES: u64 = 1 << 30;
/// Nothing is put below: firmware, the real-mode part of the kernel and its preferred address.
const FIRST: u64 = 16 * MIB;
/// Kernel, initrd and everything early boot takes but the page structures.
const SCRATCH_BYTES: u64 = 160 * MIB;
/// Page structures are 64 bytes for each 4096, and come from scratch.
const RAM_PER_PAGE_STRUCT: u64 = 64;
/// What the page allocator's blocks are aligned to (`CMA_MIN_ALIGNMENT_BYTES` with 4 KiB pages).
const ALIGNMENT: u64 = 4 * MIB;
const FOUR_GIB: u64 = 1 << 32;

/// The machine of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachinePlan {
    /// Bytes of memory of QEMU's `q35` machine, as given to its `-m`. Default: 1 GiB, unless one of
    /// the next two says what memory there is.
    pub memory: Option<Number>,
    /// The memory map, range by range. Default: none.
    pub ranges: Vec<RangePlan>,
    /// The memory map is that of the machine that composes. Default: it is not.
    pub this_machine: bool,
    /// The scratch areas. Default: one area below 4 GiB that is large enough for a usual kernel.
    pub scratch: Vec<RangePlan>,
}

/// A range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangePlan {
    /// Its first byte.
    pub start: Number,
    /// Its length in bytes.
    pub bytes: Number,
    /// What it is for; scratch is always memory. Default: memory.
    #[serde(default)]
    pub kind: MemoryKind,
}

/// Why a machine is none that can be composed for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// More than one source of the memory map.
    #[error(
        "[machine] says in two ways what memory there is: keep one of `memory`, `ranges` and `this_machine`"
    )]
    TwoMaps,
    /// The ranges are no memory map.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The memory map of this machine cannot be read.
    #[error(transparent)]
    ThisMachine(#[from] kexec_sys::MachineError),
    /// There is no room for a scratch area.
    #[error(
        "no range of memory from {FIRST:#x} up to 4 GiB has {bytes} bytes for scratch: give the machine more memory, or name the areas with `scratch` in [machine]"
    )]
    NoScratch {
        /// Bytes that were looked for.
        bytes: u64,
    },
}

impl MachinePlan {
    /// The memory map.
    pub(crate) fn map(&self) -> Result<MemoryMap, MachineError> {
        let sources = [
            self.memory.is_some(),
            !self.ranges.is_empty(),
            self.this_machine,
        ];
        if sources.into_iter().filter(|&is_there| is_there).count() > 1 {
            return Err(MachineError::TwoMaps);
        }
        if self.this_machine {
            return Ok(Machine::read(&MachinePaths::default())?.memory_map);
        }
        if self.ranges.is_empty() {
            let bytes = self.memory.map_or(DEFAULT_BYTES, |bytes| bytes.0);
            return Ok(MemoryMap::qemu_q35(bytes)?);
        }
        let entry = |range: &RangePlan| E820Entry {
            addr: PhysAddr(range.start.0),
            bytes: range.bytes.0,
            kind: kind(range.kind),
        };
        Ok(MemoryMap::new(self.ranges.iter().map(entry).collect())?)
    }

    /// The scratch areas: those that are named, or one that is large enough.
    pub(crate) fn scratch(&self, map: &MemoryMap) -> Result<ScratchAreas, MachineError> {
        if !self.scratch.is_empty() {
            let area = |range: &RangePlan| Area {
                addr: PhysAddr(range.start.0),
                bytes: range.bytes.0,
            };
            return Ok(ScratchAreas::new(self.scratch.iter().map(area).collect()));
        }
        let page_structs = map.ram_bytes() / RAM_PER_PAGE_STRUCT;
        let bytes = SCRATCH_BYTES.saturating_add(page_structs);
        let bytes = bytes.next_multiple_of(ALIGNMENT);
        let found = ram(map).find_map(|range| {
            let start = range.start.checked_next_multiple_of(ALIGNMENT)?;
            let end = start.checked_add(bytes)?;
            (end <= range.end.min(FOUR_GIB)).then_some(start)
        });
        let addr = PhysAddr(found.ok_or(MachineError::NoScratch { bytes })?);
        Ok(ScratchAreas::new(vec![Area { addr, bytes }]))
    }
}

/// Memory to compose in: all that is not scratch, and not at the very start.
pub(crate) fn memory(map: &MemoryMap, scratch: &ScratchAreas) -> SparseMemory {
    let ranges: Vec<Range<u64>> = ram(map).collect();
    let mut memory = SparseMemory::new(PageSize::Size4K, &ranges);
    for area in scratch.areas() {
        memory.withhold(area.addr.0..area.addr.0.saturating_add(area.bytes));
    }
    memory
}

/// Memory that may be used.
fn ram(map: &MemoryMap) -> impl Iterator<Item = Range<u64>> {
    let range = |(addr, bytes): (PhysAddr, u64)| {
        let start = addr.0.max(FIRST);
        start..addr.0.saturating_add(bytes).max(start)
    };
    map.ram().map(range)
}

const fn kind(kind: MemoryKind) -> E820Kind {
    match kind {
        MemoryKind::Ram => E820Kind::RAM,
        MemoryKind::Reserved => E820Kind::RESERVED,
        MemoryKind::Acpi => E820Kind::ACPI,
        MemoryKind::Nvs => E820Kind::NVS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(memory: u64) -> Result<ScratchAreas, MachineError> {
        let plan = MachinePlan {
            memory: Some(Number(memory)),
            ..MachinePlan::default()
        };
        plan.scratch(&plan.map()?)
    }

    #[test]
    fn scratch_grows_with_the_memory_and_stays_below_4_gib() {
        for (memory, wanted) in [(1_u64 << 30, 176 * MIB), (64 << 30, (1 << 30) + 160 * MIB)] {
            let scratch = scratch(memory).unwrap();
            let [area] = scratch.areas() else {
                panic!("{scratch:?}");
            };
            assert_eq!((area.addr.0, area.bytes), (FIRST, wanted));
        }
        for memory in [128 << 20, 1 << 40] {
            let error = scratch(memory).unwrap_err();
            assert!(matches!(error, MachineError::NoScratch { .. }), "{error}");
        }
    }

    #[test]
    fn nothing_is_composed_in_scratch_or_below_16_mib() {
        let map = MemoryMap::qemu_q35(1 << 30).unwrap();
        let area = Area {
            addr: PhysAddr(0x1000_0000),
            bytes: 0x1000_0000,
        };
        let memory = memory(&map, &ScratchAreas::new(vec![area]));
        let free: Vec<_> = memory.free_ranges().collect();
        assert_eq!(free, [FIRST..0x1000_0000, 0x2000_0000..0x3ff0_0000]);
    }

    #[test]
    fn a_memory_map_has_one_source() {
        let plan = MachinePlan {
            memory: Some(Number(1 << 30)),
            this_machine: true,
            ..MachinePlan::default()
        };
        assert!(matches!(plan.map(), Err(MachineError::TwoMaps)));
    }
}
