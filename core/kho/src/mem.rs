//! Physical memory as this crate sees it.

use alloc::vec;
use alloc::vec::Vec;

use kho_abi::PageSize;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::phys::{Order, PhysAddr};

/// Memory that is not there, or cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory at {addr} for {len_bytes} bytes")]
pub struct MemError {
    /// Where it was looked for.
    pub addr: PhysAddr,
    /// How much of it.
    pub len_bytes: u64,
}

/// Physical memory that can be read.
pub trait PhysMem {
    /// Page size of the kernel that wrote it.
    fn page_size(&self) -> PageSize;

    /// Fills `bytes` from `addr`.
    ///
    /// # Errors
    /// [`MemError`] unless all of it is there.
    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError>;

    /// Whether all of these bytes are memory.
    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool;

    /// Reads a value laid out as in C.
    ///
    /// # Errors
    /// [`MemError`] unless all of it is there.
    fn read_value<T: FromBytes + IntoBytes>(&self, addr: PhysAddr) -> Result<T, MemError> {
        let mut value = T::new_zeroed();
        self.read(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Reads the page at `addr`.
    ///
    /// # Errors
    /// [`MemError`] unless all of it is there.
    fn read_page(&self, addr: PhysAddr) -> Result<Vec<u8>, MemError> {
        let mut page = vec![0; self.page_size().bytes()];
        self.read(addr, &mut page)?;
        Ok(page)
    }
}

/// Physical memory that can be written as well.
pub trait PhysMemMut: PhysMem {
    /// Writes `bytes` at `addr`.
    ///
    /// # Errors
    /// [`MemError`] unless all of it is there; then nothing is written.
    fn write(&mut self, addr: PhysAddr, bytes: &[u8]) -> Result<(), MemError>;

    /// Writes a value laid out as in C.
    ///
    /// # Errors
    /// As [`PhysMemMut::write`].
    fn write_value<T: IntoBytes + Immutable>(
        &mut self,
        addr: PhysAddr,
        value: &T,
    ) -> Result<(), MemError> {
        self.write(addr, value.as_bytes())
    }
}

/// Gives out pages of the memory.
pub trait PageAlloc {
    /// A zeroed page nobody else has; `None` when there is none.
    fn alloc_page(&mut self) -> Option<PhysAddr>;

    /// Takes a page back.
    fn free_page(&mut self, page: PhysAddr);
}

/// Gives out blocks of 2^order pages, naturally aligned.
pub trait BlockAlloc: PageAlloc {
    /// A zeroed block nobody else has, outside scratch; `None` when there is none.
    fn alloc_block(&mut self, order: Order) -> Option<PhysAddr>;

    /// Takes a block back.
    fn free_block(&mut self, addr: PhysAddr, order: Order);

    /// Makes sure the block is not given out: somebody has it from before this boot.
    ///
    /// # Errors
    /// [`MemError`] unless all of it is memory.
    fn reserve_block(&mut self, addr: PhysAddr, order: Order) -> Result<(), MemError>;
}
