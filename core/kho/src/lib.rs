//! Kexec Handover in Rust: what one Linux hands to the next, byte by byte.
//!
//! Vocabulary:
//!
//! * A *block* is 2^order contiguous pages that the next kernel must not use: a [`Key`] in the
//!   [`RadixTree`], which is the memory map of a handover.
//! * Everything works on physical memory through [`PhysMem`]: a memory image, a running host, an
//!   emulated machine. Nothing is trusted: addresses are checked before they are followed, walks
//!   are bounded by what memory there is.
//!
//! Formats: crate `kho_abi`; behaviour: `kernel/liveupdate/kexec_handover.c`, v7.2 and v7.3.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod block;
mod blocks;
mod engine;
mod error;
pub mod fdt;
mod hand_off;
mod key;
mod mem;
pub mod memblock;
mod metadata;
mod phys;
mod radix;
#[cfg(test)]
mod recorded;
mod root_fdt;
mod scratch;
mod sparse;
pub mod vmalloc;

pub use block::{BlockError, BlockSet};
pub use blocks::MAX_PAGE_ORDER;
pub use engine::{Boot, BootError, Config, Handoff, Kho, KhoDefects, KhoMem, Lifecycle};
pub use error::{KhoError, errno};
pub use fdt::FdtError;
pub use hand_off::{Location, LocationError};
pub use key::{Key, KeyError};
pub use kho_abi::PageSize;
pub use mem::{BlockAlloc, MemError, PageAlloc, PhysMem, PhysMemMut};
pub use metadata::{Metadata, MetadataError};
pub use phys::{Order, Pfn, PhysAddr};
pub use radix::{Leaf, RadixError, RadixTree, Subtrees, Visit, Visits, Walk};
pub use root_fdt::{RootFdt, RootFdtError, Subtree, SubtreeError};
pub use scratch::{Area, AreaSizes, KernelReserved, ScratchAreas, ScratchSize, ScratchSizeError};
pub use sparse::SparseMemory;
