//! Why a trace is not to be relied on.

use crate::error::Malformed;

/// A trace that is not to be relied on. Completes "failed to unwind".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {frame}: {reason}")]
pub struct Unreliable {
    /// The frame whose caller is not certain; 0 is where the trace began.
    pub frame: usize,
    /// Why.
    #[source]
    pub reason: Reason,
}

/// Why the caller of a frame is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing describes the instruction.
    #[error("no rules for {pc:#x}")]
    NoRules {
        /// The instruction.
        pc: u64,
    },
    /// What describes it contradicts itself.
    #[error("malformed rules for {pc:#x}")]
    Malformed {
        /// The instruction.
        pc: u64,
        /// How.
        #[source]
        malformed: Malformed,
    },
    /// Rules of a kind that code of this processor, or a kernel, does not have.
    #[error("rules for {pc:#x} that this code cannot have")]
    Flexible {
        /// The instruction.
        pc: u64,
    },
    /// A register that is known in the topmost frame only.
    #[error("register {number} is not known")]
    NoRegister {
        /// Its DWARF number.
        number: u32,
    },
    /// An address on the stack that is not aligned.
    #[error("{addr:#x} is not aligned")]
    Misaligned {
        /// The address.
        addr: u64,
    },
    /// The caller's frame is not above the callee's.
    #[error("{addr:#x} is not above {than:#x}")]
    WrongDirection {
        /// Where the caller's frame would be.
        addr: u64,
        /// What it must be above.
        than: u64,
    },
    /// An address that is on no stack, or on one that was left.
    #[error("{addr:#x} is not on the stack")]
    OutsideStack {
        /// The address.
        addr: u64,
    },
    /// Memory that cannot be read.
    #[error("{addr:#x} cannot be read")]
    ReadFault {
        /// The address.
        addr: u64,
    },
    /// A return address that a tracer replaced, and which cannot be found, or not at this instruction.
    #[error("the return address {pc:#x} was replaced")]
    TrampolineRewrite {
        /// What is there instead.
        pc: u64,
    },
    /// A frame of a kernel that is said to be the last. A kernel's last frame is known by its place.
    #[error("the return address of {pc:#x} is undefined")]
    RaUndefinedInKernel {
        /// The instruction.
        pc: u64,
    },
    /// The trace ended where traces do not end.
    #[error("the trace ends at {addr:#x}")]
    BadTermination {
        /// The record or the return address it ended with.
        addr: u64,
    },
    /// An address that is not in the code that can be unwound.
    #[error("{pc:#x} is not in code")]
    NotText {
        /// The address.
        pc: u64,
    },
    /// An address that no call of the callee returns to.
    #[error("{pc:#x} is not behind a call of the function at {callee:#x}")]
    NotACall {
        /// The return address.
        pc: u64,
        /// An instruction of the callee.
        callee: u64,
    },
    /// A frame record that is not where its function keeps it.
    #[error("the frame record at {record:#x} is not where the frame below {cfa:#x} has it")]
    Elsewhere {
        /// Where it is.
        record: u64,
        /// The CFA of the function's frame.
        cfa: u64,
    },
    /// More frames than were asked for.
    #[error("more than {0} frames")]
    TooDeep(usize),
}
