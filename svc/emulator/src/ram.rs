//! Physical memory of the emulated machine.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::str::FromStr;

use kho::{Area, KernelReserved, PageSize, PhysAddr, ScratchAreas, ScratchSize, SparseMemory};

/// Memory below starts here: the first mebibyte is the firmware's.
const START: u64 = 1 << 20;
/// Where devices have their addresses.
const HOLE: Range<u64> = 3 << 30..4 << 30;
/// A kernel needs some memory before it can start another one.
const MIN_BYTES: u64 = 64 << 20;
/// Physical addresses have 46 bits where they have the fewest.
const MAX_BYTES: u64 = 32 << 40;

/// How much memory the machine has, in bytes. Costs nothing until it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize(u64);

/// Not a size of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size of memory: a number with K, M, G or T, from 64M to 32T")]
pub struct MemorySizeError;

impl MemorySize {
    /// This many bytes.
    ///
    /// # Errors
    /// [`MemorySizeError`] unless from 64 MiB to 32 TiB.
    pub fn new(bytes: u64) -> Result<Self, MemorySizeError> {
        if (MIN_BYTES..=MAX_BYTES).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(MemorySizeError)
    }
}

impl Default for MemorySize {
    /// 4 GiB.
    fn default() -> Self {
        Self(4 << 30)
    }
}

impl FromStr for MemorySize {
    type Err = MemorySizeError;

    fn from_str(text: &str) -> Result<Self, MemorySizeError> {
        let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
            Some(b'K') => (text.get(..text.len() - 1), 10),
            Some(b'M') => (text.get(..text.len() - 1), 20),
            Some(b'G') => (text.get(..text.len() - 1), 30),
            Some(b'T') => (text.get(..text.len() - 1), 40),
            _ => (Some(text), 0),
        };
        let number: u64 = digits
            .and_then(|digits| digits.parse().ok())
            .ok_or(MemorySizeError)?;
        let bytes = number.checked_mul(1 << shift).ok_or(MemorySizeError)?;
        Self::new(bytes)
    }
}

/// The page size of this host: programs know it.
fn page_size() -> PageSize {
    match rustix::param::page_size() {
        0x4000 => PageSize::Size16K,
        0x1_0000 => PageSize::Size64K,
        _ => PageSize::Size4K,
    }
}

/// Memory as it is when the machine is switched on.
pub(crate) fn fresh(size: MemorySize) -> SparseMemory {
    let below = (HOLE.start - START).min(size.0);
    let above = size.0 - below;
    let ram = [START..START + below, HOLE.end..HOLE.end + above];
    SparseMemory::new(page_size(), &ram)
}

/// Scratch as a cold boot makes it: a kernel of this size reserves about what `struct page` takes,
/// a 64th of the memory, and its own image.
pub(crate) fn scratch(memory: &SparseMemory) -> ScratchAreas {
    let bytes: u64 = memory.ram().iter().map(|it| it.end - it.start).sum();
    let reserved = KernelReserved {
        low_bytes: (8 << 20).min(bytes / 16),
        all_bytes: (bytes / 64).max(4 << 20),
        node_bytes: vec![(bytes / 64).max(2 << 20)],
    };
    let sizes = ScratchSize::default().areas(&reserved, page_size());
    let mut areas = Vec::new();
    // From the end of memory below the hole downwards; what does not fit is of no size, which
    // happens on real machines.
    let mut end = memory.ram().first().map_or(0, |it| it.end) & !(MAX_BLOCK - 1);
    let floor = START + bytes.min(HOLE.start) / 2;
    for size in [sizes.low_bytes, sizes.global_bytes]
        .into_iter()
        .chain(sizes.node_bytes)
    {
        let size = size.min(end.saturating_sub(floor)) & !(MAX_BLOCK - 1);
        end -= size;
        areas.push(Area {
            addr: PhysAddr(end),
            bytes: size,
        });
    }
    ScratchAreas::new(areas)
}

/// Scratch comes in blocks of 2^10 pages of 4 KiB.
const MAX_BLOCK: u64 = 4 << 20;

/// Makes memory ready for a boot: nothing is taken but scratch, which is not to be handed over.
pub(crate) fn power_on(memory: &mut SparseMemory, scratch: &ScratchAreas) {
    memory.forget_allocations();
    for area in scratch.areas() {
        memory.withhold(area.addr.0..area.addr.0.saturating_add(area.bytes));
    }
}

/// Writes all memory to a file, each byte at its physical address; what was never written is a hole.
pub(crate) fn save(memory: &SparseMemory, path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_len(memory.ram().last().map_or(0, |it| it.end))?;
    for (addr, page) in memory.written_pages() {
        file.write_all_at(page, addr.0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_not() {
        assert_eq!("4G".parse(), Ok(MemorySize::default()));
        assert_eq!("64m".parse(), MemorySize::new(64 << 20));
        for text in ["", "G", "63M", "33T", "-1G", "4GB", "99999999999999999999"] {
            assert_eq!(text.parse::<MemorySize>(), Err(MemorySizeError), "{text}");
        }
    }

    #[test]
    fn scratch_lies_in_memory_and_most_is_left() {
        for text in ["64M", "1G", "4G", "1T", "32T"] {
            let mut memory = fresh(text.parse().unwrap());
            let all = memory.free_bytes();
            let scratch = scratch(&memory);
            for area in scratch.areas() {
                let range = area.addr.0..area.addr.0 + area.bytes;
                let is_ram = |ram: &Range<u64>| ram.start <= range.start && range.end <= ram.end;
                assert!(memory.ram().iter().any(is_ram), "{text}: {area:?}");
            }
            assert!(scratch.areas().iter().any(|it| it.bytes > 0), "{text}");
            power_on(&mut memory, &scratch);
            assert!(memory.free_bytes() < all && memory.free_bytes() >= all / 2);
        }
    }
}
