//! Finds callers, and says whether to rely on what it found.
//!
//! A trace that decides something, like whether a function may be replaced, must be right or say that it is
//! not sure. So each way to go wrong is a [`Reason`], a trace without one has ended where traces end, and there
//! are no guesses in between.
//!
//! [`step`] and [`walk`] use SFrame data for every frame, by the conventions of [`Arm64`], [`X86_64`] and
//! [`S390x`] programs. [`arm64::KernelWalk`] is for the AArch64 Linux kernel, which has frame records and needs
//! SFrame data only where an exception came between two instructions.
//!
//! Nothing here reads memory by itself: a [`Process`] or a [`arm64::Kernel`] does, from wherever it is.

mod reason;
mod stack;
mod step;

pub mod arm64;

pub use reason::{Reason, Unreliable};
pub use stack::Stacks;
pub use step::{Arch, Arm64, Process, Registers, S390x, State, Step, X86_64, step, walk};

/// Where a frame is in its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeAddr {
    /// At this instruction, which has not been executed: a frame that was interrupted.
    Instruction(u64),
    /// In the call in front of this instruction: a frame that is to be returned to.
    Return(u64),
}

impl CodeAddr {
    /// The address as a stack trace shows it.
    #[must_use]
    pub const fn addr(self) -> u64 {
        match self {
            Self::Instruction(addr) | Self::Return(addr) => addr,
        }
    }

    /// An address in the instruction that the frame is in. A call can be the last instruction of a function:
    /// what it returns to is then not in the function that called.
    #[must_use]
    pub const fn lookup(self) -> u64 {
        match self {
            Self::Instruction(addr) => addr,
            Self::Return(addr) => addr.wrapping_sub(1),
        }
    }
}
