//! Serialization blocks: tables of equal entries in chains of pages.
//!
//! Source: `kernel/liveupdate/kho_block.c`, v7.3.

use alloc::vec::Vec;

use kho_abi::block::{BlockHeader, MAX_BLOCKS, capacity};

use crate::engine::{Kho, KhoMem};
use crate::error::KhoError;
use crate::mem::{MemError, PhysMem};
use crate::phys::{Order, PhysAddr};

/// What is wrong with a chain. The kernel answers `EINVAL`; a count of 0 or above the capacity in
/// the table of sessions ends in a panic of the next kernel (Linux 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It has more blocks than the kernel reads, perhaps because it leads back to itself.
    #[error("the chain from {head} has more than {MAX_BLOCKS} blocks or leads back to itself")]
    Endless {
        /// The first block.
        head: PhysAddr,
    },
    /// A block has no entry, or more than fit.
    #[error("the block at {addr} has {count} entries, 1 to {capacity} are possible")]
    Count {
        /// The block.
        addr: PhysAddr,
        /// What it says.
        count: u64,
        /// Entries that fit.
        capacity: u64,
    },
    /// A block is not in memory.
    #[error("a block is not in memory")]
    Memory(#[from] MemError),
    /// One more block is too many; the kernel answers `ENOSPC`.
    #[error("the table has {MAX_BLOCKS} blocks already")]
    Full,
}

/// A block of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its page.
    pub addr: PhysAddr,
    /// Entries in it.
    pub count: u64,
}

/// Reads the headers of a chain by the kernel's rules; address 0 is an empty one.
///
/// # Errors
/// [`BlockError`].
pub fn read_chain(
    mem: &impl PhysMem,
    head: PhysAddr,
    entry_bytes: usize,
) -> Result<Vec<Block>, BlockError> {
    let capacity = u64::try_from(capacity(mem.page_size(), entry_bytes)).unwrap_or(u64::MAX);
    let mut blocks = Vec::new();
    let mut addr = head;
    let limit = usize::try_from(MAX_BLOCKS).unwrap_or(usize::MAX);
    while addr.0 != 0 {
        if blocks.len() == limit {
            return Err(BlockError::Endless { head });
        }
        let header: BlockHeader = mem.read_value(addr)?;
        let count = header.count;
        if count == 0 || count > capacity {
            return Err(BlockError::Count {
                addr,
                count,
                capacity,
            });
        }
        blocks.push(Block { addr, count });
        addr = PhysAddr(header.next);
    }
    Ok(blocks)
}

impl Block {
    /// Address of an entry; `None` behind the last one.
    pub fn entry(&self, index: u64, entry_bytes: usize) -> Option<PhysAddr> {
        let entry_bytes = u64::try_from(entry_bytes).ok()?;
        let header = u64::try_from(size_of::<BlockHeader>()).ok()?;
        let offset = index.checked_mul(entry_bytes)?.checked_add(header)?;
        (index < self.count).then(|| self.addr.checked_add(offset))?
    }

    /// Addresses of the entries.
    pub fn entries(self, entry_bytes: usize) -> impl Iterator<Item = PhysAddr> {
        (0..self.count).map_while(move |index| self.entry(index, entry_bytes))
    }
}

/// A table in the making, or one that was received: the kernel's `kho_block_set`.
#[derive(Debug)]
pub struct BlockSet {
    entry_bytes: usize,
    blocks: Vec<PhysAddr>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Outgoing,
    Incoming,
}

impl BlockSet {
    /// An empty table of entries of this size.
    pub fn new(entry_bytes: usize) -> Self {
        Self {
            entry_bytes,
            blocks: Vec::new(),
            origin: Origin::Outgoing,
        }
    }

    /// First block; `None` of an empty table.
    pub fn head(&self) -> Option<PhysAddr> {
        self.blocks.first().copied()
    }

    /// Blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Entries that fit in one block.
    pub fn capacity<M: KhoMem>(&self, kho: &Kho<M>) -> u64 {
        let entries = capacity(kho.memory().page_size(), self.entry_bytes);
        u64::try_from(entries).unwrap_or(u64::MAX)
    }

    /// Makes room for `count` entries: `kho_block_set_grow()`.
    ///
    /// # Errors
    /// [`BlockError::Full`], no memory. Then it is as large as before.
    pub fn grow<M: KhoMem>(&mut self, kho: &mut Kho<M>, count: u64) -> Result<(), KhoError> {
        let before = self.blocks.len();
        let capacity = self.capacity(kho);
        while count > self.room(capacity) {
            if let Err(error) = self.grow_one(kho) {
                while self.blocks.len() > before {
                    self.shrink_one(kho)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives back blocks that `count` entries do not need: `kho_block_set_shrink()`.
    ///
    /// # Errors
    /// [`KhoError::Finalized`] (KHO v1).
    pub fn shrink<M: KhoMem>(&mut self, kho: &mut Kho<M>, count: u64) -> Result<(), KhoError> {
        let capacity = self.capacity(kho);
        while !self.is_empty() && count <= self.room(capacity).saturating_sub(capacity) {
            self.shrink_one(kho)?;
        }
        Ok(())
    }

    /// Empties every block and keeps it: `kho_block_set_clear()`.
    ///
    /// # Errors
    /// [`MemError`], which memory one has does not give.
    pub fn clear<M: KhoMem>(&self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        let header = size_of::<u64>();
        let zeros = alloc::vec![0; kho.memory().page_size().bytes().saturating_sub(header)];
        for &block in &self.blocks {
            let behind_next = PhysAddr(block.0.saturating_add(8));
            kho.memory_mut().write(behind_next, &zeros)?;
        }
        Ok(())
    }

    /// Address of the entry `index` of a table that is filled in order, counted as filled up to
    /// it: `kho_block_set_it_reserve_entry()`. `None` when there is no room.
    ///
    /// # Errors
    /// [`MemError`], which memory one has does not give.
    pub fn reserve_entry<M: KhoMem>(
        &self,
        kho: &mut Kho<M>,
        index: u64,
    ) -> Result<Option<PhysAddr>, KhoError> {
        let capacity = self.capacity(kho);
        let block = index.checked_div(capacity).unwrap_or(u64::MAX);
        let block = usize::try_from(block).ok();
        let Some(&addr) = block.and_then(|block| self.blocks.get(block)) else {
            return Ok(None);
        };
        let in_block = index.checked_rem(capacity).unwrap_or(0);
        let count = in_block.saturating_add(1);
        let count_at = PhysAddr(addr.0.saturating_add(8));
        kho.memory_mut().write_value(count_at, &count)?;
        Ok(Block { addr, count }.entry(in_block, self.entry_bytes))
    }

    /// Takes over a received chain: `kho_block_set_restore()`. With it the addresses of its
    /// entries.
    ///
    /// # Errors
    /// [`BlockError`]: then its blocks are freed, as far as they were preserved.
    pub fn restore<M: KhoMem>(
        kho: &mut Kho<M>,
        head: PhysAddr,
        entry_bytes: usize,
    ) -> Result<(Self, Vec<PhysAddr>), KhoError> {
        let blocks = match read_chain(kho.memory(), head, entry_bytes) {
            Ok(blocks) => blocks,
            Err(error) => {
                free_received(kho, head);
                return Err(error.into());
            }
        };
        let entries = blocks
            .iter()
            .flat_map(|block| block.entries(entry_bytes))
            .collect();
        let set = Self {
            entry_bytes,
            blocks: blocks.iter().map(|block| block.addr).collect(),
            origin: Origin::Incoming,
        };
        Ok((set, entries))
    }

    /// Frees every block: `kho_block_set_destroy()`.
    ///
    /// # Errors
    /// [`KhoError::NotPreserved`] for received blocks that were no preserved ones: the kernel
    /// warns. The others are freed. [`KhoError::Finalized`] (KHO v1).
    pub fn destroy<M: KhoMem>(&mut self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        let mut answer = Ok(());
        for block in self.blocks.drain(..) {
            let freed = match self.origin {
                Origin::Outgoing => kho.unpreserve_free(block),
                Origin::Incoming => kho.restore_free(block),
            };
            answer = answer.and(freed);
        }
        answer
    }

    fn room(&self, capacity: u64) -> u64 {
        let blocks = u64::try_from(self.blocks.len()).unwrap_or(u64::MAX);
        blocks.saturating_mul(capacity)
    }

    fn grow_one<M: KhoMem>(&mut self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        if self.room(1) >= MAX_BLOCKS {
            return Err(BlockError::Full.into());
        }
        let block = kho.alloc_preserve(kho.bytes(Order(0)))?;
        if let Some(last) = self.blocks.last() {
            kho.memory_mut().write_value(*last, &block.0)?;
        }
        self.blocks.push(block);
        Ok(())
    }

    fn shrink_one<M: KhoMem>(&mut self, kho: &mut Kho<M>) -> Result<(), KhoError> {
        let Some(block) = self.blocks.pop() else {
            return Ok(());
        };
        match self.origin {
            Origin::Outgoing => kho.unpreserve_free(block)?,
            Origin::Incoming => kho.restore_free(block)?,
        }
        if let Some(last) = self.blocks.last() {
            kho.memory_mut().write_value(*last, &0_u64)?;
        }
        Ok(())
    }
}

/// Frees what a damaged chain leads to. A block that was freed leads nowhere, so this ends.
fn free_received<M: KhoMem>(kho: &mut Kho<M>, head: PhysAddr) {
    let mut addr = head;
    while addr.0 != 0 && kho.received_bytes(addr).is_some() {
        let next = kho.memory().read_value(addr).unwrap_or(0);
        // It was received, as just seen.
        if kho.restore_free(addr).is_err() {
            break;
        }
        addr = PhysAddr(next);
    }
}

#[cfg(test)]
mod tests;
