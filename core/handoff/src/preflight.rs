//! What is checked before anything is placed.

use alloc::vec::Vec;

use kho::{PhysAddr, ScratchAreas};
use kho_abi::kexec_handover::Scratch;
use kho_abi::setup_data::{KhoData, SetupData};
use kimage::BzImage;
use kimage::bzimage::{LoadFlags, XLoadFlags};

use crate::error::{HandoverError, KernelError, ScratchError};
use crate::handover::Handover;
use crate::memory_map::MemoryMap;
use crate::place::FIRST_MIB;
use crate::span::{PAGE, Span, length};

/// What early boot takes beside the page structures: page tables, per-CPU areas, node data. Found
/// by trying on 7.3.4: with less there is no console to say so.
const EARLY_BOOT_BYTES: u64 = 8 << 20;
/// A `struct page` takes 64 bytes for each 4096 of memory.
const RAM_PER_PAGE_STRUCT: u64 = 64;

/// Areas that fit in one page with the node that leads to them.
pub(crate) const MAX_AREAS: usize =
    (4096 - size_of::<SetupData>() - size_of::<KhoData>()) / size_of::<Scratch>();

/// Kernel and command line.
pub(crate) fn kernel(kernel: &BzImage<'_>, command_line: &str) -> Result<(), KernelError> {
    let found = kernel.xload_flags();
    if !found.contains(XLoadFlags::KERNEL_64) {
        return Err(KernelError::No64BitEntry { found });
    }
    let found = kernel.load_flags();
    if !found.contains(LoadFlags::LOADED_HIGH) {
        return Err(KernelError::LoadedLow { found });
    }
    if !kernel.is_relocatable() {
        return Err(KernelError::NotRelocatable {
            preferred: PhysAddr(kernel.preferred_address()),
        });
    }
    let found_bytes = length(command_line.as_bytes());
    let max_bytes = kernel.command_line_max_bytes();
    if found_bytes > max_bytes {
        return Err(KernelError::CommandLineTooLong {
            found_bytes,
            max_bytes,
        });
    }
    match command_line.bytes().position(|byte| byte == 0) {
        Some(offset) => Err(KernelError::CommandLineNul { offset }),
        None => Ok(()),
    }
}

/// Each area is memory, none overlaps another, and together they last for early boot: it takes
/// memory from scratch only, and when there is none left it stops without a word.
pub(crate) fn scratch(
    scratch: &ScratchAreas,
    map: &MemoryMap,
    inside_bytes: u64,
) -> Result<(), ScratchError> {
    let found = scratch.areas().len();
    if found > MAX_AREAS {
        let max = MAX_AREAS;
        return Err(ScratchError::TooMany { found, max });
    }
    let mut spans = Vec::new();
    for area in scratch.areas() {
        let kho::Area { addr, bytes } = *area;
        let span = Span::new(addr, bytes).ok_or(ScratchError::OutsideRam { addr, bytes })?;
        if bytes == 0 {
            continue;
        }
        if !map.is_ram(span) {
            return Err(ScratchError::OutsideRam { addr, bytes });
        }
        spans.push(span);
    }
    if let Some([one, other]) = overlap(&mut spans) {
        return Err(ScratchError::Overlap {
            addr: PhysAddr(one.start),
            other: PhysAddr(other.start),
        });
    }
    let sum = |sum: u64, span: &Span| sum.saturating_add(span.bytes());
    let found_bytes = spans.iter().fold(0, sum);
    let ram_bytes = map.ram_bytes();
    let page_structs_bytes = ram_bytes.div_euclid(RAM_PER_PAGE_STRUCT);
    let needed_bytes = inside_bytes
        .saturating_add(page_structs_bytes)
        .saturating_add(EARLY_BOOT_BYTES);
    if found_bytes < needed_bytes {
        return Err(ScratchError::TooSmall {
            found_bytes,
            needed_bytes,
            inside_bytes,
            ram_bytes,
            page_structs_bytes,
        });
    }
    Ok(())
}

/// Every part of the handover is whole pages of memory, outside of scratch and of each other; the
/// FDT is among them.
pub(crate) fn handover(handover: &Handover<'_>, map: &MemoryMap) -> Result<(), HandoverError> {
    let mut spans = Vec::new();
    for content in &handover.content {
        let (addr, bytes) = (content.addr, content.len_bytes);
        let outside = HandoverError::OutsideRam { addr, bytes };
        let span = Span::new(addr, bytes).ok_or(outside)?;
        if (addr.0 | bytes) & PAGE.saturating_sub(1) != 0 {
            return Err(HandoverError::Misaligned { addr, bytes });
        }
        let content_bytes = length(content.bytes);
        if content_bytes > bytes {
            return Err(HandoverError::Overfull {
                addr,
                bytes,
                content_bytes,
            });
        }
        if span.start < FIRST_MIB {
            return Err(HandoverError::FirstMib { addr, bytes });
        }
        if !map.is_ram(span) {
            return Err(outside);
        }
        let in_scratch = |area: &&kho::Area| {
            // An area of no size is no area. Linux 7.3 counts it where it lies inside a block.
            let area = Span::new(area.addr, area.bytes).filter(|area| area.bytes() != 0);
            area.is_some_and(|area| area.overlaps(span))
        };
        if let Some(area) = handover.scratch.areas().iter().find(in_scratch) {
            let area = area.addr;
            return Err(HandoverError::InScratch { addr, bytes, area });
        }
        spans.push(span);
    }
    if let Some([one, other]) = overlap(&mut spans) {
        return Err(HandoverError::Overlap {
            addr: PhysAddr(one.start),
            other: PhysAddr(other.start),
        });
    }
    let fdt = handover.fdt;
    let is_there =
        Span::new(fdt, PAGE).is_some_and(|page| spans.iter().any(|span| span.contains(page)));
    if is_there {
        Ok(())
    } else {
        Err(HandoverError::NoFdt { fdt })
    }
}

/// Two that overlap, if any do; sorts.
fn overlap(spans: &mut [Span]) -> Option<[Span; 2]> {
    spans.sort_unstable();
    let mut pairs = spans.array_windows();
    pairs.find(|[one, other]| one.overlaps(*other)).copied()
}
