//! Regions of `reserve_mem=`. C header: `include/linux/kho/abi/memblock.h`, v7.2 and v7.3.
//!
//! The subtree [`NODE_NAME`] is an FDT: the root has [`COMPATIBLE`], each region is a child named
//! by its label with `compatible` = [`REGION_COMPATIBLE`] and the native `u64` values
//! [`START_PROP_NAME`] and [`SIZE_PROP_NAME`].

/// Name of the KHO subtree.
#[doc(alias = "MEMBLOCK_KHO_FDT")]
pub const NODE_NAME: &str = "memblock";
/// `compatible` of the root.
#[doc(alias = "MEMBLOCK_KHO_NODE_COMPATIBLE")]
pub const COMPATIBLE: &str = "memblock-v1";
/// `compatible` of a region.
#[doc(alias = "RESERVE_MEM_KHO_NODE_COMPATIBLE")]
pub const REGION_COMPATIBLE: &str = "reserve-mem-v1";
/// Property of a region: physical address of its first byte (`mm/memblock.c`).
pub const START_PROP_NAME: &str = "start";
/// Property of a region: its bytes (`mm/memblock.c`).
pub const SIZE_PROP_NAME: &str = "size";
/// Bytes of a label with its NUL (`mm/memblock.c`).
#[doc(alias = "RESERVE_MEM_NAME_SIZE")]
pub const LABEL_LENGTH: usize = 16;
/// Regions at most (`mm/memblock.c`).
#[doc(alias = "RESERVE_MEM_MAX_ENTRIES")]
pub const MAX_REGIONS: usize = 8;
