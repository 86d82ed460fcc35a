//! The page sizes Linux runs with, and the KHO numbers that follow from each.
//!
//! Formulas: `enum kho_radix_consts` in `include/linux/kho/abi/kexec_handover.h` and
//! `KHO_BLOCK_SIZE` in `include/linux/kho/abi/block.h`, v7.2 and v7.3.

/// A page size. Kernels of different page sizes cannot hand over to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageSize {
    /// 4 KiB: x86, and arm64 by default.
    Size4K,
    /// 16 KiB: arm64.
    Size16K,
    /// 64 KiB: arm64.
    Size64K,
}

impl PageSize {
    /// Every page size, smallest first.
    pub const ALL: [Self; 3] = [Self::Size4K, Self::Size16K, Self::Size64K];

    /// `PAGE_SHIFT`: binary logarithm of the size in bytes.
    #[doc(alias = "PAGE_SHIFT")]
    #[must_use]
    pub const fn shift(self) -> u32 {
        match self {
            Self::Size4K => 12,
            Self::Size16K => 14,
            Self::Size64K => 16,
        }
    }

    /// `PAGE_SIZE` in bytes; also the size of a serialization block, of a tree node and of a
    /// vmalloc chunk.
    #[doc(alias = "PAGE_SIZE")]
    #[doc(alias = "KHO_BLOCK_SIZE")]
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Size4K => 1 << 12,
            Self::Size16K => 1 << 14,
            Self::Size64K => 1 << 16,
        }
    }

    /// Bits of a radix key that can be set: the page frame number and one bit for the order.
    ///
    /// v7.2 has the number without that bit as `KHO_ORDER_0_LOG2`; keys are the same.
    #[doc(alias = "KHO_RADIX_KEY_WIDTH")]
    #[must_use]
    pub const fn radix_key_width(self) -> u32 {
        match self {
            Self::Size4K => 53,
            Self::Size16K => 51,
            Self::Size64K => 49,
        }
    }

    /// Binary logarithm of the entries of an inner radix node; the key bits one level consumes.
    #[doc(alias = "KHO_TABLE_SIZE_LOG2")]
    #[must_use]
    pub const fn radix_table_bits(self) -> u32 {
        match self {
            Self::Size4K => 9,
            Self::Size16K => 11,
            Self::Size64K => 13,
        }
    }

    /// Binary logarithm of the bits of a radix leaf; the key bits the leaf consumes.
    #[doc(alias = "KHO_BITMAP_SIZE_LOG2")]
    #[must_use]
    pub const fn radix_bitmap_bits(self) -> u32 {
        match self {
            Self::Size4K => 15,
            Self::Size16K => 17,
            Self::Size64K => 19,
        }
    }

    /// Levels of the radix tree, the leaf included.
    #[doc(alias = "KHO_TREE_MAX_DEPTH")]
    #[must_use]
    pub const fn radix_levels(self) -> u32 {
        match self {
            Self::Size4K => 6,
            Self::Size16K => 5,
            Self::Size64K => 4,
        }
    }

    /// Physical addresses in one vmalloc chunk.
    #[doc(alias = "KHO_VMALLOC_SIZE")]
    #[must_use]
    pub const fn vmalloc_chunk_entries(self) -> usize {
        match self {
            Self::Size4K => 511,
            Self::Size16K => 2047,
            Self::Size64K => 8191,
        }
    }
}
