//! What stops a handover from being made or used.

use crate::key::KeyError;
use crate::mem::MemError;
use crate::phys::{Order, PhysAddr};
use crate::radix::RadixError;
use crate::root_fdt::SubtreeError;

/// Why a call failed. [`KhoError::errno`] is what the kernel answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KhoError {
    /// No memory.
    #[error("no memory for a block of order {}", order.0)]
    NoMemory {
        /// What was wanted.
        order: Order,
    },
    /// Nothing was asked for.
    #[error("a size of 0 bytes")]
    Empty,
    /// More than the page allocator gives at once.
    #[error("{size_bytes} bytes are more than one block can have")]
    TooBig {
        /// What was wanted.
        size_bytes: u64,
    },
    /// The block overlaps scratch, where the next kernel puts itself.
    #[error("{bytes} bytes at {addr} overlap scratch")]
    Scratch {
        /// The block.
        addr: PhysAddr,
        /// Its length.
        bytes: u64,
    },
    /// Nobody preserved a block that starts there, or it was restored already. The kernel warns
    /// and answers with no folio.
    #[error("no preserved block starts at {addr}")]
    NotPreserved {
        /// Where one was looked for.
        addr: PhysAddr,
    },
    /// A vmalloc descriptor and its chunks do not agree. The kernel answers with no area.
    #[error("the chunks name {found} pages, the descriptor {expected}")]
    VmallocPages {
        /// Pages over all chunks, as far as they were read.
        found: u64,
        /// `total_pages`.
        expected: u64,
    },
    /// A flag of a vmalloc area that cannot be handed over.
    #[error("the area has flags that cannot be handed over: {flags:#x}")]
    VmallocFlags {
        /// The unknown ones.
        flags: u16,
    },
    /// A chain of serialization blocks is damaged.
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
    /// The tree of preserved memory is damaged, or cannot grow.
    #[error(transparent)]
    Radix(#[from] RadixError),
    /// A block that no key can name.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Memory that is not there.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// Subtrees.
    #[error(transparent)]
    Subtree(#[from] SubtreeError),
    /// The handover is finalized: nothing may change (KHO v1).
    #[error("the handover is finalized")]
    Finalized,
    /// It is finalized already (KHO v1).
    #[error("the handover is finalized already")]
    AlreadyFinalized,
    /// It is not finalized (KHO v1).
    #[error("the handover is not finalized")]
    NotFinalized,
    /// There is nothing to finalize in this version of KHO.
    #[error("this version of KHO has no finalize")]
    Stateless,
}

/// `errno` values of Linux that this crate answers with (`include/uapi/asm-generic/errno*.h`).
pub mod errno {
    /// No such entry.
    pub const ENOENT: i32 = 2;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// Busy.
    pub const EBUSY: i32 = 16;
    /// Exists already.
    pub const EEXIST: i32 = 17;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// No space left.
    pub const ENOSPC: i32 = 28;
    /// Out of range.
    pub const ERANGE: i32 = 34;
    /// Argument list too long; here: too big.
    pub const E2BIG: i32 = 7;
    /// Not supported.
    pub const EOPNOTSUPP: i32 = 95;
}

impl KhoError {
    /// What the kernel answers in this place: a positive `errno`. Where it answers with a null
    /// pointer only, what its callers make of that (`ENOMEM` or `EINVAL`).
    pub fn errno(&self) -> i32 {
        match self {
            Self::NoMemory { .. } | Self::Radix(RadixError::NoMemory) => errno::ENOMEM,
            Self::Subtree(SubtreeError::Full { .. }) => errno::ENOMEM,
            Self::Subtree(SubtreeError::Exists { .. }) | Self::AlreadyFinalized => errno::EEXIST,
            Self::Subtree(SubtreeError::Missing { .. }) | Self::NotFinalized => errno::ENOENT,
            Self::TooBig { .. } => errno::E2BIG,
            Self::Key(_) => errno::ERANGE,
            Self::VmallocFlags { .. } | Self::Stateless => errno::EOPNOTSUPP,
            Self::Finalized => errno::EBUSY,
            Self::Block(crate::block::BlockError::Full) => errno::ENOSPC,
            Self::Empty
            | Self::Scratch { .. }
            | Self::NotPreserved { .. }
            | Self::VmallocPages { .. }
            | Self::Block(_)
            | Self::Radix(_)
            | Self::Memory(_)
            | Self::Subtree(SubtreeError::Incomplete { .. } | SubtreeError::NotPreserved { .. }) => {
                errno::EINVAL
            }
        }
    }
}
