//! The AArch64 Linux kernel.
//!
//! Its functions keep frame records, and a chain of them is all that is needed to go from call to call. Where an
//! exception came between two instructions the chain is not enough: the function may not have made its record
//! yet, or have no more, and the return address is in x30 or on the stack. There, and only there, SFrame data
//! says which.
//!
//! A *metadata record* is a frame record of two zeros with a type behind it: it is in the saved registers of
//! every exception, and in those at the end of a task's stack, where a trace has to end
//! (`arch/arm64/include/asm/stacktrace/frame.h`, `arch/arm64/kernel/stacktrace.c`, v7.3).

use core::ops::Range;

use super::CodeAddr;

mod proof;
mod walk;

pub use walk::KernelWalk;

/// Offsets in `struct pt_regs`, in bytes (`arch/arm64/include/asm/ptrace.h`, v7.3).
pub mod pt_regs {
    /// `regs[29]`, the frame pointer.
    pub const FP: u64 = 29 * 8;
    /// `regs[30]`, the link register.
    pub const LR: u64 = 30 * 8;
    /// `sp`: behind `regs`, which has 31 entries.
    pub const SP: u64 = 248;
    /// `pc`.
    pub const PC: u64 = 256;
    /// `stackframe`, the metadata record.
    pub const STACKFRAME: u64 = 296;
    /// All of it.
    pub const SIZE: u64 = 320;
}

/// `FRAME_META_TYPE_FINAL`: the record at the end.
pub const META_FINAL: u64 = 1;
/// `FRAME_META_TYPE_PT_REGS`: the record in the saved registers of an exception.
pub const META_PT_REGS: u64 = 2;

/// Bytes of a frame record.
const RECORD: u64 = 16;
/// Bytes of a metadata record.
const META_RECORD: u64 = 24;
/// What a CFA is aligned to: it is the stack pointer at a call (AAPCS64, 6.4.5.1).
const CFA_MASK: u64 = 0xf;

/// What a tracer made of a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Nothing.
    None,
    /// It replaced this one.
    Original(u64),
    /// It replaced one that cannot be found.
    Lost,
}

/// The kernel that is unwound.
pub trait Kernel {
    /// Eight bytes at an address; `None` when they cannot be read.
    fn read_u64(&self, addr: u64) -> Option<u64>;

    /// The stacks that may be read: of the task and, when it runs on this processor, those of exceptions.
    fn stacks(&self) -> impl IntoIterator<Item = Range<u64>>;

    /// `task_pt_regs(task)->stackframe`: the only place where a trace may end.
    fn final_record(&self) -> u64;

    /// Whether an address is one of an instruction that can be unwound.
    fn is_text(&self, pc: u64) -> bool;

    /// A return address without its authentication code.
    fn strip_pac(&self, pc: u64) -> u64 {
        pc
    }

    /// What the function graph tracer or a return probe made of a return address, by the frame pointer of the
    /// frame that is returned to.
    fn rewrite(&self, _fp: u64, _pc: u64) -> Rewrite {
        Rewrite::None
    }

    /// Whether the return address cannot be found at this instruction: inside of `return_to_handler` it is
    /// neither in a register nor in the tracer's stack.
    fn is_obscured(&self, _pc: u64) -> bool {
        false
    }

    /// Whether the instruction in front of a return address can have called the function that has the instruction
    /// `callee`. It is asked where SFrame data was used: a stale x30 is a return address too. One that cannot read its
    /// text has to say yes; of damaged stacks one in a hundred then looks right.
    fn is_call(&self, ra: u64, callee: u64) -> bool;
}

/// Registers of an interrupted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regs {
    /// The instruction that was not executed.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// x29.
    pub fp: u64,
    /// x30.
    pub lr: u64,
}

/// Where a trace begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At registers that an exception saved.
    Regs(Regs),
    /// In a task that does not run: `thread.cpu_context`.
    Task {
        /// Its `pc`.
        pc: u64,
        /// Its `fp`.
        fp: u64,
    },
    /// In the caller of what unwinds.
    Caller {
        /// The return address.
        pc: u64,
        /// Its frame pointer.
        fp: u64,
    },
}

/// How a frame was found: `enum kunwind_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It is where the trace began, in a call.
    Start,
    /// By a frame record.
    FrameRecord,
    /// In registers that an exception saved.
    RegsPc,
    /// By SFrame data, in the link register of an interrupted frame.
    RegsLr,
    /// By SFrame data, on the stack of an interrupted frame.
    Sframe,
}

/// A frame of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it is.
    pub pc: CodeAddr,
    /// How it was found.
    pub source: Source,
}

/// How much of a trace is proven before it is called reliable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// As the series for the kernel does it: frame records are taken as they are, SFrame data is used across exceptions
    /// only. A record that damage makes lead past a frame cannot be told from a good one, so a trace that is called
    /// reliable can lack frames.
    Exceptions,
    /// Besides, each frame record has to be where SFrame data says that the function keeps it, x29 of an interrupted frame
    /// has to go with its rules, and each return address has to be behind a call of the callee. A record that leads past a
    /// frame is found out; code without SFrame data makes a trace unreliable.
    #[default]
    EveryFrame,
}
