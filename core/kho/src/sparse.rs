//! Physical memory of a machine that is not there: of an emulated one, of one under composition.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use kho_abi::PageSize;

use crate::mem::{BlockAlloc, MemError, PageAlloc, PhysMem, PhysMemMut};
use crate::phys::{Order, PhysAddr};

/// RAM that costs nothing until it is written, with an allocator of naturally aligned blocks.
///
/// Memory that was never written, or was freed, reads as zeros.
#[derive(Debug)]
pub struct SparseMemory {
    page_size: PageSize,
    /// RAM in bytes, ascending, not touching.
    ram: Vec<Range<u64>>,
    /// Content by address; what is not here is zeros.
    pages: BTreeMap<u64, Box<[u8]>>,
    /// Free memory: first byte, and the one behind the last; not touching.
    free: BTreeMap<u64, u64>,
    allowance: Option<u64>,
}

impl SparseMemory {
    /// RAM at these addresses, in bytes, cut down to whole pages; all of it free.
    pub fn new(page_size: PageSize, ram: &[Range<u64>]) -> Self {
        let mut memory = Self {
            page_size,
            ram: Vec::new(),
            pages: BTreeMap::new(),
            free: BTreeMap::new(),
            allowance: None,
        };
        for range in ram {
            let start = memory.page_up(range.start).unwrap_or(u64::MAX);
            let end = memory.page_of(range.end);
            if start < end {
                memory.give(start, end);
            }
        }
        memory.ram = memory.free_ranges().collect();
        memory
    }

    /// RAM in bytes, ascending.
    pub fn ram(&self) -> &[Range<u64>] {
        &self.ram
    }

    /// Free memory in bytes, ascending.
    pub fn free_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.free.iter().map(|(&start, &end)| start..end)
    }

    /// Bytes of free memory.
    pub fn free_bytes(&self) -> u64 {
        let bytes = |range: Range<u64>| range.end.saturating_sub(range.start);
        self.free_ranges().map(bytes).sum()
    }

    /// Pages that were written: address and content, ascending.
    pub fn written_pages(&self) -> impl Iterator<Item = (PhysAddr, &[u8])> {
        self.pages
            .iter()
            .map(|(&addr, page)| (PhysAddr(addr), &**page))
    }

    /// Lets this many more allocations succeed; `None` is no limit. For the tests of what happens
    /// without memory.
    pub fn limit_allocations(&mut self, allowance: Option<u64>) {
        self.allowance = allowance;
    }

    /// Takes a range from the free memory for good; what is not free in it stays as it is. Scratch
    /// is withheld: nothing to be preserved may come from there.
    pub fn withhold(&mut self, range: Range<u64>) {
        let start = self.page_of(range.start);
        let end = self.page_up(range.end).unwrap_or(u64::MAX);
        self.take(start, end);
    }

    /// Makes all memory free and keeps what is in it, as a jump does.
    pub fn forget_allocations(&mut self) {
        self.free.clear();
        for range in self.ram.clone() {
            self.give(range.start, range.end);
        }
    }

    /// Drops the content of free memory: a kernel that has booted uses it for itself.
    pub fn clear_free(&mut self) {
        let free = core::mem::take(&mut self.free);
        self.pages.retain(|&addr, _| !holds(&free, addr));
        self.free = free;
    }

    fn page_of(&self, at: u64) -> u64 {
        at & !self.page_mask()
    }

    fn page_up(&self, at: u64) -> Option<u64> {
        Some(self.page_of(at.checked_add(self.page_mask())?))
    }

    fn page_mask(&self) -> u64 {
        // A page has some bytes.
        self.page_bytes().saturating_sub(1)
    }

    fn page_bytes(&self) -> u64 {
        1_u64.wrapping_shl(self.page_size.shift())
    }

    /// Splits an access at page boundaries: page, offset in it, place in the buffer.
    fn parts(
        &self,
        addr: PhysAddr,
        len: usize,
    ) -> Result<impl Iterator<Item = (u64, usize, Range<usize>)> + use<>, MemError> {
        let out = MemError {
            addr,
            len_bytes: u64::try_from(len).unwrap_or(u64::MAX),
        };
        if !self.is_memory(addr, out.len_bytes) {
            return Err(out);
        }
        let (mask, page_bytes) = (self.page_mask(), self.page_size.bytes());
        let mut done = 0_usize;
        Ok(core::iter::from_fn(move || {
            let at = addr.0.checked_add(u64::try_from(done).ok()?)?;
            let offset = usize::try_from(at & mask).ok()?;
            let left = len.checked_sub(done)?;
            let here = left.min(page_bytes.checked_sub(offset)?);
            let part = (at & !mask, offset, done..done.checked_add(here)?);
            done = part.2.end;
            (here != 0).then_some(part)
        }))
    }

    /// Adds a range to the free memory, joined with its neighbours.
    fn give(&mut self, mut start: u64, mut end: u64) {
        if let Some((&before, &before_end)) = self.free.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
            self.free.remove(&before);
        }
        while let Some((&after, &after_end)) = self.free.range(start..=end).next() {
            end = end.max(after_end);
            self.free.remove(&after);
        }
        self.free.insert(start, end);
    }

    /// Takes what is free of a range.
    fn take(&mut self, start: u64, end: u64) {
        while let Some((&at, &at_end)) = self.free.range(..end).next_back() {
            if at_end <= start {
                break;
            }
            self.free.remove(&at);
            if at_end > end {
                self.free.insert(end, at_end);
            }
            if at < start {
                self.free.insert(at, start);
                break;
            }
        }
    }

    fn drop_content(&mut self, start: u64, end: u64) {
        while let Some((&page, _)) = self.pages.range(start..end).next() {
            self.pages.remove(&page);
        }
    }

    fn block_end(&self, addr: PhysAddr, order: Order) -> Option<u64> {
        Some(addr.checked_add(order.bytes(self.page_size)?)?.0)
    }
}

fn holds(ranges: &BTreeMap<u64, u64>, addr: u64) -> bool {
    let before = ranges.range(..=addr).next_back();
    before.is_some_and(|(_, &end)| addr < end)
}

impl PhysMem for SparseMemory {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool {
        let inside = |end| {
            let range = |range: &Range<u64>| range.start <= addr.0 && end <= range.end;
            self.ram.iter().any(range)
        };
        addr.0.checked_add(bytes).is_some_and(inside)
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        for (page, offset, place) in self.parts(addr, bytes.len())? {
            let Some(to) = bytes.get_mut(place) else {
                break;
            };
            let from = self.pages.get(&page).and_then(|page| page.get(offset..));
            match from.and_then(|from| from.get(..to.len())) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
        }
        Ok(())
    }
}

impl PhysMemMut for SparseMemory {
    fn write(&mut self, addr: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        let page_bytes = self.page_size.bytes();
        for (page, offset, place) in self.parts(addr, bytes.len())? {
            let Some(from) = bytes.get(place) else {
                break;
            };
            let page = self.pages.entry(page);
            let page = page.or_insert_with(|| vec![0; page_bytes].into());
            let to = page.get_mut(offset..);
            if let Some(to) = to.and_then(|to| to.get_mut(..from.len())) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }
}

impl PageAlloc for SparseMemory {
    fn alloc_page(&mut self) -> Option<PhysAddr> {
        self.alloc_block(Order(0))
    }

    fn free_page(&mut self, page: PhysAddr) {
        self.free_block(page, Order(0));
    }
}

impl BlockAlloc for SparseMemory {
    fn alloc_block(&mut self, order: Order) -> Option<PhysAddr> {
        let left = match self.allowance {
            Some(left) => Some(left.checked_sub(1)?),
            None => None,
        };
        let bytes = order.bytes(self.page_size)?;
        let found = self.free.iter().find_map(|(&start, &end)| {
            // Address 0 is what the formats use for "nothing there".
            let start = start.max(1).checked_next_multiple_of(bytes)?;
            (start.checked_add(bytes)? <= end).then_some(start)
        })?;
        let end = found.checked_add(bytes)?;
        self.allowance = left;
        // A jump leaves content in free memory.
        self.drop_content(found, end);
        self.take(found, end);
        Some(PhysAddr(found))
    }

    fn free_block(&mut self, addr: PhysAddr, order: Order) {
        let end = self.block_end(addr, order);
        let end = end.unwrap_or_else(|| unreachable!("{addr} was never given out"));
        let before = self.free.range(..end).next_back();
        assert!(
            before.is_none_or(|(_, &free_end)| free_end <= addr.0),
            "{addr} is free already"
        );
        self.drop_content(addr.0, end);
        self.give(addr.0, end);
    }

    fn reserve_block(&mut self, addr: PhysAddr, order: Order) -> Result<(), MemError> {
        let len_bytes = order.bytes(self.page_size).unwrap_or(u64::MAX);
        let out = MemError { addr, len_bytes };
        let end = self.block_end(addr, order).ok_or(out)?;
        if !addr.is_page_aligned(self.page_size) || !self.is_memory(addr, len_bytes) {
            return Err(out);
        }
        self.take(addr.0, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory() -> SparseMemory {
        SparseMemory::new(PageSize::Size4K, &[0..MIB, 4 * MIB..10 * MIB])
    }

    #[test]
    fn memory_reads_as_zeros_until_it_is_written_and_ends_where_it_ends() {
        let mut memory = memory();
        memory.write(PhysAddr(0x1ffe), &[1, 2, 3, 4]).unwrap();
        let mut bytes = [9; 6];
        memory.read(PhysAddr(0x1ffd), &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 0]);
        assert_eq!(memory.written_pages().count(), 2);
        for out in [MIB - 1, 2 * MIB, 10 * MIB - 3, u64::MAX] {
            assert!(memory.read(PhysAddr(out), &mut bytes).is_err(), "{out:#x}");
            assert!(memory.write(PhysAddr(out), &bytes).is_err(), "{out:#x}");
        }
    }

    #[test]
    fn blocks_are_aligned_do_not_overlap_and_come_back() {
        let mut memory = memory();
        let before = memory.free_bytes();
        let mut blocks = Vec::new();
        for order in [0, 9, 3, 0, 8, 1, 9].map(Order) {
            let block = memory.alloc_block(order).unwrap();
            let bytes = order.bytes(PageSize::Size4K).unwrap();
            assert_eq!(block.0 % bytes, 0);
            assert_ne!(block.0, 0);
            for &(other, other_bytes) in &blocks {
                assert!(block.0 + bytes <= other || other + other_bytes <= block.0);
            }
            blocks.push((block.0, bytes));
        }
        assert_eq!(memory.alloc_block(Order(9)), None);
        let used: u64 = blocks.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(memory.free_bytes(), before - used);
        for (block, bytes) in blocks {
            let order = Order((bytes >> 12).trailing_zeros());
            memory.free_block(PhysAddr(block), order);
        }
        assert_eq!(memory.free_bytes(), before);
        assert_eq!(memory.free_ranges().count(), 2);
    }

    #[test]
    fn a_jump_keeps_content_and_a_boot_drops_what_is_free() {
        let mut memory = memory();
        let (kept, lost) = (
            memory.alloc_block(Order(1)).unwrap(),
            memory.alloc_block(Order(0)).unwrap(),
        );
        for block in [kept, lost] {
            memory.write(block, b"content").unwrap();
        }
        memory.forget_allocations();
        memory.reserve_block(kept, Order(1)).unwrap();
        let reused = memory.alloc_block(Order(0)).unwrap();
        assert_eq!((reused, memory.read_value(lost)), (lost, Ok(0_u64)));
        memory.free_block(reused, Order(0));
        memory.clear_free();
        let read = |memory: &SparseMemory, at| memory.read_value::<[u8; 7]>(at).unwrap();
        assert_eq!(&read(&memory, kept), b"content");
        assert_eq!(read(&memory, lost), [0; 7]);
        assert!(memory.reserve_block(PhysAddr(MIB), Order(0)).is_err());
    }

    #[test]
    #[should_panic(expected = "is free already")]
    fn freeing_twice_is_our_own_mistake() {
        let mut memory = memory();
        let block = memory.alloc_block(Order(2)).unwrap();
        memory.free_block(block, Order(2));
        memory.free_block(block, Order(2));
    }

    #[test]
    fn withheld_memory_is_never_given_out() {
        let mut memory = memory();
        memory.withhold(0x800..9 * MIB + 1);
        assert_eq!(memory.free_bytes(), MIB - 4096);
        memory.limit_allocations(Some(1));
        assert!(memory.alloc_page().unwrap().0 > 9 * MIB);
        assert_eq!(memory.alloc_page(), None);
    }
}
