//! The FDT, the tree of preserved memory and the vmalloc descriptor. C header:
//! `include/linux/kho/abi/kexec_handover.h`, v7.2 and v7.3.
//!
//! The FDT is one page. Its root has [`COMPATIBLE`] and [`MEMORY_MAP_PROP_NAME`]; each subnode is
//! a subtree with [`SUB_TREE_PROP_NAME`] and [`SUB_TREE_SIZE_PROP_NAME`]. Values of the three
//! latter are native `u64`.
//!
//! The prose of that header still says `kho-v3`; the definition says `kho-v4`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::PageSize;

/// `compatible` of the root node. A kernel boots cold with any other.
#[doc(alias = "KHO_FDT_COMPATIBLE")]
pub const COMPATIBLE: &str = "kho-v4";
/// Property of the root: physical address of the radix root page.
#[doc(alias = "KHO_FDT_MEMORY_MAP_PROP_NAME")]
pub const MEMORY_MAP_PROP_NAME: &str = "preserved-memory-map";
/// Property of a subnode: physical address of its blob.
#[doc(alias = "KHO_SUB_TREE_PROP_NAME")]
pub const SUB_TREE_PROP_NAME: &str = "preserved-data";
/// Property of a subnode: bytes of its blob.
#[doc(alias = "KHO_SUB_TREE_SIZE_PROP_NAME")]
pub const SUB_TREE_SIZE_PROP_NAME: &str = "blob-size";

/// Property of `/chosen` in the next kernel's device tree: address and size of the KHO FDT, as
/// big-endian cells (`drivers/of/kexec.c`, v7.2 and v7.3).
pub const CHOSEN_FDT_PROP_NAME: &str = "linux,kho-fdt";
/// Property of `/chosen` in the next kernel's device tree: address and size of the scratch array,
/// as big-endian cells (`drivers/of/kexec.c`, v7.2 and v7.3).
pub const CHOSEN_SCRATCH_PROP_NAME: &str = "linux,kho-scratch";

/// Upper half of the stamp in `page->private` of a preserved block's head page: `KHOP`
/// (`kernel/liveupdate/kexec_handover.c`).
#[doc(alias = "KHO_PAGE_MAGIC")]
pub const PAGE_MAGIC: u32 = 0x4b48_4f50;

/// One area the next kernel may allocate from while it boots; 16 bytes.
/// C header: `include/asm-generic/kexec_handover.h` in v7.3, `include/linux/kexec_handover.h` in
/// v7.2.
#[doc(alias = "kho_scratch")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Scratch {
    /// Physical address of the first byte.
    pub addr: u64,
    /// Bytes; 0 happens and means an area that is not there.
    pub size: u64,
}

/// Header of a [`VmallocChunk`]; 8 bytes.
#[doc(alias = "kho_vmalloc_hdr")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VmallocHdr {
    /// Physical address of the next chunk; 0 in the last one.
    pub next: u64,
}

/// One page of a preserved vmalloc area's page list, for pages of 4 KiB; 4096 bytes.
///
/// With other page sizes `phys` has [`PageSize::vmalloc_chunk_entries`] elements.
#[doc(alias = "kho_vmalloc_chunk")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VmallocChunk {
    /// Link to the next chunk.
    pub hdr: VmallocHdr,
    /// Physical addresses of blocks of `1 << order` pages; a zero ends them early.
    pub phys: [u64; PageSize::Size4K.vmalloc_chunk_entries()],
}

/// Descriptor of a preserved vmalloc area; 16 bytes.
#[doc(alias = "kho_vmalloc")]
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Vmalloc {
    /// Physical address of the first [`VmallocChunk`]; 0 when there is none.
    pub first: u64,
    /// Pages of the area: the sum of `1 << order` over all addresses.
    pub total_pages: u32,
    /// How the area was allocated.
    pub flags: VmallocFlags,
    /// Every address of the chunks names `1 << order` pages.
    pub order: u16,
}

/// Flags of [`Vmalloc`] (`kernel/liveupdate/kexec_handover.c`); unknown bits are kept.
#[repr(transparent)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct VmallocFlags(pub u16);

impl VmallocFlags {
    /// The area came from `vmalloc()`: the kernel's `VM_ALLOC`.
    #[doc(alias = "KHO_VMALLOC_ALLOC")]
    pub const ALLOC: Self = Self(0x0001);
    /// Huge mappings are allowed: the kernel's `VM_ALLOW_HUGE_VMAP`.
    #[doc(alias = "KHO_VMALLOC_HUGE_VMAP")]
    pub const HUGE_VMAP: Self = Self(0x0002);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Bits the kernel does not know; it ignores them silently on restore.
    #[must_use]
    pub const fn unknown(self) -> u16 {
        self.0 & !(Self::ALLOC.0 | Self::HUGE_VMAP.0)
    }
}

/// Inner node of the tree of preserved memory, for pages of 4 KiB; 4096 bytes.
#[doc(alias = "kho_radix_node")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RadixNode {
    /// Physical addresses of the nodes one level down; 0 where there is none.
    pub table: [u64; 1 << PageSize::Size4K.radix_table_bits()],
}

/// Leaf of the tree of preserved memory, for pages of 4 KiB; 4096 bytes.
///
/// Bit `i` is bit `i % 64` of word `i / 64`.
#[doc(alias = "kho_radix_leaf")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RadixLeaf {
    /// One bit for each preserved block.
    pub bitmap: [u64; 512],
}

/// The subtree of the kernel's own test module (`lib/test_kho.c`, v7.2 and v7.3).
pub mod test_kho {
    /// Name of the subtree.
    #[doc(alias = "KHO_TEST_FDT")]
    pub const NODE_NAME: &str = "kho_test";
    /// `compatible` of the FDT in it.
    #[doc(alias = "KHO_TEST_COMPAT")]
    pub const COMPATIBLE: &str = "kho-test-v1";
    /// Value of its property `magic`, a native `u32`.
    #[doc(alias = "KHO_TEST_MAGIC")]
    pub const MAGIC: u32 = 0x4b48_4f21;
}

const _: () = {
    assert!(size_of::<Scratch>() == 16);
    assert!(size_of::<VmallocHdr>() == 8);
    assert!(size_of::<VmallocChunk>() == 4096);
    assert!(core::mem::offset_of!(VmallocChunk, phys) == 8);
    assert!(size_of::<Vmalloc>() == 16);
    assert!(core::mem::offset_of!(Vmalloc, total_pages) == 8);
    assert!(core::mem::offset_of!(Vmalloc, flags) == 12);
    assert!(core::mem::offset_of!(Vmalloc, order) == 14);
    assert!(size_of::<RadixNode>() == 4096);
    assert!(size_of::<RadixLeaf>() == 4096);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_vmalloc_flags_are_kept_and_named() {
        let flags = VmallocFlags(0x8003);
        assert!(flags.contains(VmallocFlags::ALLOC));
        assert!(flags.contains(VmallocFlags::HUGE_VMAP));
        assert_eq!(flags.unknown(), 0x8000);
    }
}
