//! Serialization blocks. C header: `include/linux/kho/abi/block.h`, v7.2 and v7.3.
//!
//! A set of equal entries is stored as a chain of blocks. A block is one page
//! ([`PageSize::bytes`](crate::PageSize::bytes)): a [`BlockHeader`], then its entries packed.
//! Limits and rules of the reader: `kernel/liveupdate/kho_block.c`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::PageSize;

/// Blocks in one chain at most; a longer chain is refused with `EINVAL`
/// (`kernel/liveupdate/kho_block.c`).
#[doc(alias = "KHO_MAX_BLOCKS")]
pub const MAX_BLOCKS: u64 = 10_000;

/// Start of a block; 16 bytes.
#[doc(alias = "kho_block_header_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct BlockHeader {
    /// Physical address of the next block; 0 in the last one.
    pub next: u64,
    /// Entries in this block: at least 1, at most [`capacity`].
    pub count: u64,
}

/// Returns how many entries of `entry_bytes` fit in one block; 0 for entries of no size.
#[must_use]
pub const fn capacity(page_size: PageSize, entry_bytes: usize) -> usize {
    match page_size
        .bytes()
        .saturating_sub(size_of::<BlockHeader>())
        .checked_div(entry_bytes)
    {
        Some(entries) => entries,
        None => 0,
    }
}

const _: () = {
    assert!(size_of::<BlockHeader>() == 16);
    assert!(core::mem::offset_of!(BlockHeader, count) == 8);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::luo::{FileSer, SessionSer};

    #[test]
    fn capacities_are_those_of_the_kernel() {
        assert_eq!(capacity(PageSize::Size4K, size_of::<SessionSer>()), 51);
        assert_eq!(capacity(PageSize::Size4K, size_of::<FileSer>()), 63);
        assert_eq!(capacity(PageSize::Size64K, size_of::<FileSer>()), 1023);
        assert_eq!(capacity(PageSize::Size4K, 0), 0);
    }
}
