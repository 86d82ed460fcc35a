//! Memory for tests: pages that exist, and nothing between them.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use kho_abi::PageSize;

use crate::mem::{MemError, PageAlloc, PhysMem, PhysMemMut};
use crate::phys::PhysAddr;

/// Pages by address.
pub(crate) struct Ram {
    page_size: PageSize,
    pages: BTreeMap<u64, Vec<u8>>,
    next: u64,
    /// Pages still to be given out.
    pub(crate) left: usize,
}

impl Ram {
    pub(crate) fn new(page_size: PageSize) -> Self {
        Self {
            page_size,
            pages: BTreeMap::new(),
            next: 0x10_0000,
            left: usize::MAX,
        }
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The page of an address, and where in it that is.
    fn place(&self, at: u64) -> (u64, usize) {
        let size = self.page_size.bytes() as u64;
        (at & !(size - 1), usize::try_from(at % size).unwrap())
    }

    /// Parts of an access that lie in one page each.
    fn chunks(&self, at: u64, len: usize) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < len {
            let left = self.page_size.bytes() - self.place(at + start as u64).1;
            let end = len.min(start + left);
            chunks.push(start..end);
            start = end;
        }
        chunks
    }
}

fn missing(at: u64) -> MemError {
    MemError {
        addr: PhysAddr(at),
        len_bytes: 1,
    }
}

impl PhysMem for Ram {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        let mut at = addr.0;
        for chunk in self.chunks(at, bytes.len()) {
            let (page, start) = self.place(at);
            let page = self.pages.get(&page).ok_or(missing(at))?;
            bytes[chunk.clone()].copy_from_slice(&page[start..start + chunk.len()]);
            at += chunk.len() as u64;
        }
        Ok(())
    }
}

impl PhysMemMut for Ram {
    fn write(&mut self, addr: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        let mut at = addr.0;
        for chunk in self.chunks(at, bytes.len()) {
            let (page, start) = self.place(at);
            let page = self.pages.get_mut(&page).ok_or(missing(at))?;
            page[start..start + chunk.len()].copy_from_slice(&bytes[chunk.clone()]);
            at += chunk.len() as u64;
        }
        Ok(())
    }
}

impl PageAlloc for Ram {
    fn alloc_page(&mut self) -> Option<PhysAddr> {
        self.left = self.left.checked_sub(1)?;
        let size = self.page_size.bytes();
        let page = self.next & !(size as u64 - 1);
        self.next = page + size as u64;
        self.pages.insert(page, vec![0; size]);
        Some(PhysAddr(page))
    }

    fn free_page(&mut self, page: PhysAddr) {
        assert!(self.pages.remove(&page.0).is_some(), "{page} freed twice");
    }
}
