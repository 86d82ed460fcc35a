//! Memory layouts of Kexec Handover and of what travels in it, exactly as Linux has them.
//!
//! One module per kernel header:
//!
//! | module | C header | carries |
//! |---|---|---|
//! | [`setup_data`] | `arch/x86/include/uapi/asm/setup_data.h` | how the next kernel finds the rest |
//! | [`kexec_handover`] | `include/linux/kho/abi/kexec_handover.h` | FDT words, radix tree, vmalloc descriptor |
//! | [`block`] | `include/linux/kho/abi/block.h` | chains of serialization blocks |
//! | [`luo`] | `include/linux/kho/abi/luo.h` | sessions, files, FLBs |
//! | [`memfd`] | `include/linux/kho/abi/memfd.h` | a preserved memfd |
//! | [`memblock`] | `include/linux/kho/abi/memblock.h` | `reserve_mem=` regions |
//! | [`kexec_metadata`] | `include/linux/kho/abi/kexec_metadata.h` | previous release, kexec count |
//! | [`pstore`] | none: this project's, `kmod/pstore_kho` | crash and shutdown logs |
//!
//! All integers are of the machine's own byte order: both kernels run on the same machine. That
//! includes FDT *property values* of KHO, which are raw native `u64` and only 4-byte aligned;
//! FDT headers and tokens are big-endian as everywhere.
//!
//! The page size is part of the layout: [`PageSize`] gives the numbers that follow from it. The
//! versions are the `compatible` strings ([`kexec_handover::COMPATIBLE`], [`luo::COMPATIBLE`],
//! [`memfd::COMPATIBLE`], ...); a kernel accepts its own ones only.
//!
//! Addresses are plain `u64` here, as on the wire; a reader gives them types.
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

pub mod block;
pub mod kexec_handover;
pub mod kexec_metadata;
pub mod luo;
pub mod memblock;
pub mod memfd;
mod page_size;
pub mod pstore;
pub mod setup_data;

pub use page_size::PageSize;
