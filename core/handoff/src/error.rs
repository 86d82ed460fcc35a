//! Why nothing is started. Each reason stands for something Linux does not check: it would hang
//! before its console, overwrite what was preserved, or boot without a word about it.

use kho::PhysAddr;
use kimage::{bzimage::LoadFlags, bzimage::XLoadFlags};

use crate::boot::Role;

/// Why nothing is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel, the initrd or the command line.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The scratch areas.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The handover.
    #[error(transparent)]
    Handover(#[from] HandoverError),
}

/// What is wrong with the kernel or what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// No 64-bit entry.
    #[error("the kernel has no 64-bit entry (xloadflags {:#x}, bit 0 is not set)", found.0)]
    No64BitEntry {
        /// `xloadflags`.
        found: XLoadFlags,
    },
    /// A zImage.
    #[error("the kernel is to be loaded below 1 MiB (loadflags {:#x}, bit 0 is not set)", found.0)]
    LoadedLow {
        /// `loadflags`.
        found: LoadFlags,
    },
    /// It runs at one address only.
    #[error("the kernel runs at {preferred} only: build it with CONFIG_RELOCATABLE")]
    NotRelocatable {
        /// `pref_address`.
        preferred: PhysAddr,
    },
    /// The command line is too long.
    #[error("the command line has {found_bytes} bytes, this kernel takes {max_bytes}")]
    CommandLineTooLong {
        /// Its bytes, without a NUL.
        found_bytes: u64,
        /// `cmdline_size`.
        max_bytes: u64,
    },
    /// The command line would end early.
    #[error("the command line has a NUL at byte {offset}")]
    CommandLineNul {
        /// Where.
        offset: usize,
    },
}

/// What is wrong with the scratch areas, or does not fit into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// An area is not memory.
    #[error("the scratch area at {addr} of {bytes} bytes is not all memory of this machine's map")]
    OutsideRam {
        /// Its first byte.
        addr: PhysAddr,
        /// Its length.
        bytes: u64,
    },
    /// Two areas share memory.
    #[error("the scratch areas at {addr} and {other} overlap")]
    Overlap {
        /// One of them.
        addr: PhysAddr,
        /// The other one.
        other: PhysAddr,
    },
    /// Linux would run out of memory before its console.
    #[error(
        "scratch has {found_bytes} bytes; {needed_bytes} are needed: kernel, initrd and tables {inside_bytes}, page structures for {ram_bytes} bytes of memory {page_structs_bytes}, and 8 MiB"
    )]
    TooSmall {
        /// Bytes of all areas.
        found_bytes: u64,
        /// The sum of all that follows.
        needed_bytes: u64,
        /// What is placed in scratch.
        inside_bytes: u64,
        /// Bytes of memory of the machine.
        ram_bytes: u64,
        /// What the kernel takes for a `struct page` of each page, from scratch only.
        page_structs_bytes: u64,
    },
    /// No area has room in one piece.
    #[error("no scratch area has {bytes} bytes in one piece for {role}, from 1 MiB up to {limit}")]
    NoRoom {
        /// What does not fit.
        role: Role,
        /// Its length.
        bytes: u64,
        /// The first address it cannot reach.
        limit: PhysAddr,
    },
    /// More areas than fit in one page with the node that leads to them.
    #[error("{found} scratch areas; at most {max} can be handed over")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many can be.
        max: usize,
    },
}

/// What is wrong with the handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// It does not start and end at pages.
    #[error("the handover's {bytes} bytes at {addr} are no whole pages")]
    Misaligned {
        /// First byte.
        addr: PhysAddr,
        /// Length.
        bytes: u64,
    },
    /// More content than length.
    #[error("the handover has {content_bytes} bytes for the {bytes} at {addr}")]
    Overfull {
        /// First byte.
        addr: PhysAddr,
        /// Length.
        bytes: u64,
        /// Length of the content.
        content_bytes: u64,
    },
    /// It is not memory.
    #[error("the handover's {bytes} bytes at {addr} are not all memory of this machine's map")]
    OutsideRam {
        /// First byte.
        addr: PhysAddr,
        /// Length.
        bytes: u64,
    },
    /// The kernel keeps the first MiB for itself (`reserve_real_mode`).
    #[error("the handover's {bytes} bytes at {addr} are in the first MiB, which the kernel takes")]
    FirstMib {
        /// First byte.
        addr: PhysAddr,
        /// Length.
        bytes: u64,
    },
    /// The kernel overwrites scratch while it boots, and says nothing.
    #[error("the handover's {bytes} bytes at {addr} are in the scratch area at {area}")]
    InScratch {
        /// First byte.
        addr: PhysAddr,
        /// Length.
        bytes: u64,
        /// First byte of the area.
        area: PhysAddr,
    },
    /// Two parts of it share memory.
    #[error("the handover's parts at {addr} and {other} overlap")]
    Overlap {
        /// One of them.
        addr: PhysAddr,
        /// The other one.
        other: PhysAddr,
    },
    /// The page of the FDT is not part of it.
    #[error("the FDT's page at {fdt} is not part of the handover")]
    NoFdt {
        /// Where it should be.
        fdt: PhysAddr,
    },
}
