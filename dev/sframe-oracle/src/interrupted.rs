//! An exception at a recorded instruction, as an AArch64 kernel has it in memory.

use std::ops::Range;

use sframe_unwind::unwind::CodeAddr;
use sframe_unwind::unwind::arm64::{Kernel, KernelWalk, META_FINAL, META_PT_REGS, Start, pt_regs};
use sframe_unwind::{Recovery, Rules, Section, Tables, Unwind};

use crate::machine::Called;
use crate::recording::{Moment, Recording};
use crate::replay::Memory;

/// How a machine looks to its kernel in the middle of an exception.
#[derive(Clone, Debug)]
pub struct Interrupted<'a> {
    /// Memory, with the saved registers.
    pub memory: Memory<'a>,
    /// Undamaged SFrame data, to see where functions begin.
    pub section: Section<'a>,
    /// Where the handler's frame record is.
    pub handler_record: u64,
    handler: Handler,
    /// Where the trace has to end.
    pub final_record: u64,
    /// Whether the text is read to see what a return address is behind.
    pub reads_calls: ReadsCalls,
}

/// Whether a kernel can read its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadsCalls {
    /// It can.
    Yes,
    /// It cannot, and takes every return address for one.
    No,
}

/// What runs for the exception: a function that has called another, called by code without SFrame data.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// Where the function goes on.
    pc: u64,
    /// Where its caller goes on.
    entry: u64,
}

impl Handler {
    /// The program's own first two calls, so that the code is as it has to be.
    #[must_use]
    pub fn of(recording: &Recording) -> Option<Self> {
        let mut moments = recording.moments.iter();
        let calls = moments.find_map(|moment| match moment.calls.as_slice() {
            [entry, function, ..] => Some((entry.ra, function.ra)),
            _ => None,
        });
        calls.map(|(entry, pc)| Self { pc, entry })
    }
}

impl<'a> Interrupted<'a> {
    /// An exception at this instruction: its registers are saved below the stack pointer, and what handles it
    /// has a frame record. `None` where the handler's function has none.
    #[must_use]
    pub fn new(
        moment: &Moment,
        memory: &Memory<'a>,
        section: Section<'a>,
        handler: Handler,
        reads_calls: ReadsCalls,
    ) -> Option<Self> {
        let now = &moment.registers;
        let mut memory = memory.clone();
        let regs = now.sp - pt_regs::SIZE;
        let stackframe = regs + pt_regs::STACKFRAME;
        for (offset, word) in [
            (pt_regs::FP, now.fp),
            (pt_regs::LR, now.link),
            (pt_regs::SP, now.sp),
            (pt_regs::PC, now.pc),
            (pt_regs::STACKFRAME, 0),
            (pt_regs::STACKFRAME + 8, 0),
            (pt_regs::STACKFRAME + 16, META_PT_REGS),
        ] {
            memory.write(regs + offset, word);
        }
        // The entry code calls with its stack pointer at the saved registers; the handler keeps its record at
        // the bottom of its frame.
        let row = section.find(handler.pc - 1).ok()??.row;
        let handler_record = match row.unwind {
            Unwind::Caller(Rules {
                fp: Recovery::Saved(offset),
                ..
            }) => regs.wrapping_add_signed(offset.into()),
            _ => return None,
        };
        memory.write(handler_record, stackframe);
        memory.write(handler_record + 8, handler.entry);
        // Where the program's start put it, and where a task's registers are: below the end of the stack.
        let range = memory.stack_range();
        let final_record = range.end - pt_regs::SIZE + pt_regs::STACKFRAME;
        Some(Self {
            memory,
            section,
            handler_record,
            handler,
            final_record,
            reads_calls,
        })
    }

    /// A trace that begins in the handler.
    pub fn walk<'b, T: Tables>(&'b self, tables: &'b T) -> KernelWalk<'b, T, Self> {
        let start = Start::Caller {
            pc: self.handler.pc,
            fp: self.handler_record,
        };
        KernelWalk::new(start, tables, self)
    }
}

impl Interrupted<'_> {
    /// What a trace must be: the handler's two frames, the interrupted instruction, and every call.
    #[must_use]
    pub fn truth(&self, moment: &Moment) -> Vec<CodeAddr> {
        let mut frames = vec![
            CodeAddr::Return(self.handler.pc),
            CodeAddr::Return(self.handler.entry),
            CodeAddr::Instruction(moment.registers.pc),
        ];
        let calls = moment.calls.iter().rev();
        frames.extend(calls.map(|call| CodeAddr::Return(call.ra)));
        frames
    }

    /// Whether the program's start has made the final record.
    #[must_use]
    pub fn has_final_record(&self, moment: &Moment) -> bool {
        let read = |offset| self.memory.read(self.final_record + offset);
        !moment.calls.is_empty() && [0, 8].map(read) == [Some(0); 2] && read(16) == Some(META_FINAL)
    }
}

impl Kernel for Interrupted<'_> {
    fn read_u64(&self, addr: u64) -> Option<u64> {
        self.memory.read(addr)
    }

    fn stacks(&self) -> impl IntoIterator<Item = Range<u64>> {
        [self.memory.stack_range()]
    }

    fn final_record(&self) -> u64 {
        self.final_record
    }

    fn is_text(&self, pc: u64) -> bool {
        self.memory.text.contains(&pc)
    }

    fn strip_pac(&self, pc: u64) -> u64 {
        pc & 0xffff_ffff_ffff
    }

    fn is_call(&self, ra: u64, callee: u64) -> bool {
        if self.reads_calls == ReadsCalls::No {
            return true;
        }
        match self.memory.call_before(ra) {
            None => false,
            Some(Called::Unknown) => true,
            Some(Called::Function(function)) => {
                let of = |pc| self.section.find_fde(pc).and_then(Result::ok);
                of(callee).is_some_and(|fde| fde.start == function)
            }
        }
    }
}
