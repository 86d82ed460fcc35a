//! Areas of `vmalloc()`: lists of pages, in chunks of a page each.
//!
//! Source: `kho_preserve_vmalloc()`, `kho_restore_vmalloc()`
//! (`kernel/liveupdate/kexec_handover.c`, v7.3).

use alloc::vec::Vec;

use kho_abi::kexec_handover::{Vmalloc, VmallocFlags};

use crate::engine::{Kho, KhoMem};
use crate::error::KhoError;
use crate::mem::{MemError, PhysMem, PhysMemMut};
use crate::phys::{Order, PhysAddr};

/// A chunk: where it is, and the blocks it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The page of the chunk.
    pub addr: PhysAddr,
    /// The next one.
    pub next: Option<PhysAddr>,
    /// Blocks of `1 << order` pages each; an empty list happens in the last chunk.
    pub blocks: Vec<PhysAddr>,
}

/// Reads one chunk.
///
/// # Errors
/// [`MemError`].
pub fn read_chunk(mem: &impl PhysMem, addr: PhysAddr) -> Result<Chunk, MemError> {
    let page = mem.read_page(addr)?;
    let mut words = page
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
    let next = words.next().filter(|&next| next != 0).map(PhysAddr);
    // A zero ends the list.
    let blocks = words.take_while(|&block| block != 0).map(PhysAddr);
    Ok(Chunk {
        addr,
        next,
        blocks: blocks.collect(),
    })
}

/// The chunks of an area, one after another.
///
/// Ends with [`KhoError::VmallocPages`] when they name more pages than the descriptor says, and
/// when they name fewer; so a chain that leads back to itself ends, unless its chunks are empty:
/// only the last one may be.
#[derive(Debug)]
pub struct Chunks<'a, M> {
    mem: &'a M,
    next: Option<PhysAddr>,
    /// No chunk at all, and pages that should be in one.
    missing: Option<KhoError>,
    pages_left: u64,
    total_pages: u64,
    block_pages: u64,
}

/// Starts to read the chunks of an area.
pub fn chunks<'a, M: PhysMem>(mem: &'a M, area: &Vmalloc) -> Chunks<'a, M> {
    let missing = KhoError::VmallocPages {
        found: 0,
        expected: area.total_pages.into(),
    };
    Chunks {
        mem,
        missing: (area.first == 0 && area.total_pages != 0).then_some(missing),
        next: (area.first != 0).then_some(PhysAddr(area.first)),
        pages_left: area.total_pages.into(),
        total_pages: area.total_pages.into(),
        block_pages: Order(area.order.into()).pages().unwrap_or(u64::MAX),
    }
}

impl<M: PhysMem> Chunks<'_, M> {
    fn read(&mut self, addr: PhysAddr) -> Result<Chunk, KhoError> {
        let chunk = read_chunk(self.mem, addr)?;
        let blocks = u64::try_from(chunk.blocks.len()).unwrap_or(u64::MAX);
        let pages = blocks.saturating_mul(self.block_pages);
        let found = |left: u64| self.total_pages.saturating_sub(left).saturating_add(pages);
        let wrong = KhoError::VmallocPages {
            found: found(self.pages_left),
            expected: self.total_pages,
        };
        let Some(left) = self.pages_left.checked_sub(pages) else {
            return Err(wrong);
        };
        let more_to_come = chunk.next.is_some();
        if more_to_come && blocks == 0 || !more_to_come && left != 0 {
            return Err(wrong);
        }
        self.pages_left = left;
        Ok(chunk)
    }
}

impl<M: PhysMem> Iterator for Chunks<'_, M> {
    type Item = Result<Chunk, KhoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.missing.take() {
            return Some(Err(error));
        }
        let addr = self.next.take()?;
        let chunk = self.read(addr);
        self.next = chunk.as_ref().ok().and_then(|chunk| chunk.next);
        Some(chunk)
    }
}

/// An area: `1 << order` pages at each address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// The blocks, in the order of the area.
    pub blocks: Vec<PhysAddr>,
    /// Order of each.
    pub order: Order,
    /// How it was allocated; unknown bits are kept.
    pub flags: VmallocFlags,
}

impl Area {
    /// Fills `bytes` from the area, `offset` bytes behind its start.
    ///
    /// # Errors
    /// [`MemError`] behind its end.
    pub fn read(&self, mem: &impl PhysMem, offset: u64, bytes: &mut [u8]) -> Result<(), MemError> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (addr, left) = self.place(mem, at)?;
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(here);
            mem.read(addr, now)?;
            at = at.saturating_add(u64::try_from(here).unwrap_or(u64::MAX));
            rest = later;
        }
        Ok(())
    }

    /// Writes `bytes` to the area, `offset` bytes behind its start.
    ///
    /// # Errors
    /// [`MemError`] behind its end; what is before it is written.
    pub fn write(
        &self,
        mem: &mut impl PhysMemMut,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), MemError> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (addr, left) = self.place(mem, at)?;
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(here);
            mem.write(addr, now)?;
            at = at.saturating_add(u64::try_from(here).unwrap_or(u64::MAX));
            rest = later;
        }
        Ok(())
    }

    /// Where a byte of the area is, and how many follow it in its block.
    fn place(&self, mem: &impl PhysMem, offset: u64) -> Result<(PhysAddr, u64), MemError> {
        let block_bytes = self.order.bytes(mem.page_size()).unwrap_or(u64::MAX);
        let inside = offset.checked_rem(block_bytes).unwrap_or(0);
        let block = offset.checked_div(block_bytes).unwrap_or(0);
        let block = usize::try_from(block).ok();
        let block = block.and_then(|block| self.blocks.get(block));
        let addr = block.and_then(|block| block.checked_add(inside));
        let out = MemError {
            addr: PhysAddr(offset),
            len_bytes: 1,
        };
        Ok((addr.ok_or(out)?, block_bytes.saturating_sub(inside)))
    }
}

impl<M: KhoMem> Kho<M> {
    /// A zeroed area of single pages: `vzalloc()`. It is not preserved.
    ///
    /// # Errors
    /// [`KhoError::NoMemory`].
    pub fn vzalloc(&mut self, size_bytes: u64) -> Result<Area, KhoError> {
        let mut area = Area {
            flags: VmallocFlags::ALLOC,
            ..Area::default()
        };
        for _ in 0..size_bytes.div_ceil(self.bytes(Order(0))) {
            match self.alloc_folio(Order(0)) {
                Ok(page) => area.blocks.push(page),
                Err(error) => {
                    self.vfree(&area);
                    return Err(error);
                }
            }
        }
        Ok(area)
    }

    /// Frees an area of [`Kho::vzalloc`] or [`Kho::restore_vmalloc`]: `vfree()`.
    pub fn vfree(&mut self, area: &Area) {
        let page_bytes = self.bytes(Order(0));
        for &block in &area.blocks {
            // Restored blocks are single pages by now.
            let mut page = block;
            for _ in 0..area.order.pages().unwrap_or(0) {
                self.free_folio(page);
                page = PhysAddr(page.0.saturating_add(page_bytes));
            }
        }
    }

    /// Preserves an area: `kho_preserve_vmalloc()`.
    ///
    /// As in the kernel an area that fills its chunks to the last entry gets one more, empty one.
    ///
    /// # Errors
    /// [`KhoError::VmallocFlags`]; [`KhoError::TooBig`]; no memory. Then nothing is preserved.
    pub fn preserve_vmalloc(&mut self, area: &Area) -> Result<Vmalloc, KhoError> {
        let flags = area.flags;
        if flags.unknown() != 0 {
            let flags = flags.unknown();
            return Err(KhoError::VmallocFlags { flags });
        }
        let block_pages = area.order.pages().unwrap_or(u64::MAX);
        let count = u64::try_from(area.blocks.len()).unwrap_or(u64::MAX);
        let total = count.saturating_mul(block_pages);
        let too_big = KhoError::TooBig {
            size_bytes: total.saturating_mul(self.bytes(Order(0))),
        };
        let total_pages = u32::try_from(total).map_err(|_overflow| too_big.clone())?;
        let order = u16::try_from(area.order.0).map_err(|_overflow| too_big)?;
        let first = self.new_chunk()?;
        let mut descriptor = Vmalloc {
            first: first.0,
            total_pages,
            flags,
            order,
        };
        let filled = self.fill_chunks(first, &area.blocks, block_pages);
        if let Err((error, listed)) = filled {
            // Only what is in the chunks is to be taken back.
            let pages = listed.saturating_mul(block_pages);
            descriptor.total_pages = u32::try_from(pages).unwrap_or(u32::MAX);
            self.unpreserve_vmalloc(&descriptor)?;
            return Err(error);
        }
        Ok(descriptor)
    }

    /// Takes [`Kho::preserve_vmalloc`] back: `kho_unpreserve_vmalloc()`.
    ///
    /// # Errors
    /// [`KhoError::Finalized`] (KHO v1); chunks that are damaged.
    pub fn unpreserve_vmalloc(&mut self, area: &Vmalloc) -> Result<(), KhoError> {
        self.ensure_open()?;
        let block_pages = Order(area.order.into()).pages().unwrap_or(u64::MAX);
        let all: Result<Vec<Chunk>, KhoError> = chunks(&self.mem, area).collect();
        for chunk in all? {
            for block in chunk.blocks {
                self.unpreserve_pages(block, block_pages)?;
            }
            self.unpreserve_free(chunk.addr)?;
        }
        Ok(())
    }

    /// Makes a received area one of this boot: `kho_restore_vmalloc()`. Its chunks are freed.
    ///
    /// # Errors
    /// [`KhoError::VmallocPages`], [`KhoError::NotPreserved`]. Unlike in Linux, which leaks what
    /// it has restored by then, nothing is restored when chunks and descriptor do not agree.
    pub fn restore_vmalloc(&mut self, area: &Vmalloc) -> Result<Area, KhoError> {
        let order = Order(area.order.into());
        let block_pages = order.pages().unwrap_or(u64::MAX);
        let all: Result<Vec<Chunk>, KhoError> = chunks(&self.mem, area).collect();
        let mut blocks = Vec::new();
        for chunk in all? {
            for &block in &chunk.blocks {
                self.restore_pages(block, block_pages)?;
            }
            blocks.extend(chunk.blocks);
            self.restore_pages(chunk.addr, 1)?;
            self.free_folio(chunk.addr);
        }
        Ok(Area {
            blocks,
            order,
            flags: area.flags,
        })
    }

    fn new_chunk(&mut self) -> Result<PhysAddr, KhoError> {
        self.alloc_preserve(self.bytes(Order(0)))
    }

    /// Preserves the blocks and lists them; with an error, how many were preserved and listed.
    fn fill_chunks(
        &mut self,
        first: PhysAddr,
        blocks: &[PhysAddr],
        block_pages: u64,
    ) -> Result<(), (KhoError, u64)> {
        let entries = self.mem.page_size().vmalloc_chunk_entries();
        let mut chunk = first;
        let mut slot = first;
        let mut in_chunk = 0_usize;
        for (done, &block) in (0_u64..).zip(blocks) {
            let with = |error: KhoError| (error, done);
            self.preserve_pages(block, block_pages).map_err(with)?;
            slot = PhysAddr(slot.0.saturating_add(8));
            let listed = self.mem.write_value(slot, &block.0);
            let with = |error: KhoError| (error, done.saturating_add(1));
            listed.map_err(|error| with(error.into()))?;
            in_chunk = in_chunk.saturating_add(1);
            if in_chunk == entries {
                let next = self.new_chunk().map_err(with)?;
                let linked = self.mem.write_value(chunk, &next.0);
                linked.map_err(|error| with(error.into()))?;
                (chunk, slot, in_chunk) = (next, next, 0);
            }
        }
        Ok(())
    }
}
