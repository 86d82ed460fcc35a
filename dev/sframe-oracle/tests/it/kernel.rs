//! The AArch64 kernel: an exception at every instruction, frame records elsewhere.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

use std::ops::Range;

use sframe_oracle::{Called, Moment, Recording};
use sframe_unwind::unwind::CodeAddr;
use sframe_unwind::unwind::arm64::{
    Check, Frame, Kernel, KernelWalk, META_FINAL, META_PT_REGS, Source, Start, pt_regs,
};
use sframe_unwind::{Recovery, Rules, Section, Tables, Unwind};

use crate::replay::{self, Memory};

/// How a machine looks to its kernel in the middle of an exception.
pub(crate) struct Machine<'a> {
    pub(crate) memory: Memory<'a>,
    pub(crate) section: Section<'a>,
    /// Where the handler's frame record is.
    pub(crate) handler_record: u64,
    handler: Handler,
    pub(crate) final_record: u64,
    /// Whether the text is read to see what a return address is behind.
    pub(crate) reads_calls: ReadsCalls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadsCalls {
    Yes,
    No,
}

/// What runs for the exception: a function that has called another, called by code without SFrame data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler {
    /// Where the function goes on.
    pc: u64,
    /// Where its caller goes on.
    entry: u64,
}

impl Handler {
    /// The program's own first two calls, so that the code is as it has to be.
    pub(crate) fn of(recording: &Recording) -> Self {
        let mut moments = recording.moments.iter();
        let calls = moments.find_map(|moment| match moment.calls.as_slice() {
            [entry, function, ..] => Some((entry.ra, function.ra)),
            _ => None,
        });
        let (entry, pc) = calls.unwrap();
        Self { pc, entry }
    }
}

impl<'a> Machine<'a> {
    /// An exception at this instruction: its registers are saved below the stack pointer, and what handles it
    /// has a frame record.
    pub(crate) fn interrupted(
        moment: &Moment,
        memory: &Memory<'a>,
        section: Section<'a>,
        handler: Handler,
        reads_calls: ReadsCalls,
    ) -> Self {
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
        let row = section.find(handler.pc - 1).unwrap().unwrap().row;
        let handler_record = match row.unwind {
            Unwind::Caller(Rules {
                fp: Recovery::Saved(offset),
                ..
            }) => regs.wrapping_add_signed(offset.into()),
            other => panic!("the handler has no frame record: {other:?}"),
        };
        memory.write(handler_record, stackframe);
        memory.write(handler_record + 8, handler.entry);
        // Where the program's start put it, and where a task's registers are: below the end of the stack.
        let range = memory.stack_range();
        let final_record = range.end - pt_regs::SIZE + pt_regs::STACKFRAME;
        Self {
            memory,
            section,
            handler_record,
            handler,
            final_record,
            reads_calls,
        }
    }

    pub(crate) fn walk<'b, T: Tables>(&'b self, tables: &'b T) -> KernelWalk<'b, T, Self> {
        let start = Start::Caller {
            pc: self.handler.pc,
            fp: self.handler_record,
        };
        KernelWalk::new(start, tables, self)
    }
}

impl Kernel for Machine<'_> {
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

/// What a trace must be: the handler's two frames, the interrupted instruction, and every call.
pub(crate) fn truth(moment: &Moment, handler: Handler) -> Vec<CodeAddr> {
    let mut frames = vec![
        CodeAddr::Return(handler.pc),
        CodeAddr::Return(handler.entry),
        CodeAddr::Instruction(moment.registers.pc),
    ];
    let calls = moment.calls.iter().rev();
    frames.extend(calls.map(|call| CodeAddr::Return(call.ra)));
    frames
}

/// The program's start makes the final record: until it is there, there is none.
pub(crate) fn has_final_record(moment: &Moment, machine: &Machine<'_>) -> bool {
    let record = machine.final_record;
    let read = |offset| machine.memory.read(record + offset);
    !moment.calls.is_empty() && [0, 8].map(read) == [Some(0); 2] && read(16) == Some(META_FINAL)
}

fn walk_through(name: &str, reads_calls: ReadsCalls, check: Check) -> (usize, [usize; 2]) {
    let recording = replay::recording(name);
    let section = replay::section(&recording);
    let handler = Handler::of(&recording);
    let (mut interrupts, mut sources) = (0, [0; 2]);
    replay::play(&recording, |moment, memory| {
        let machine = Machine::interrupted(moment, memory, section, handler, reads_calls);
        if !has_final_record(moment, &machine) {
            return;
        }
        interrupts += 1;
        let mut walk = machine.walk(&section).check(check);
        let frames: Vec<Frame> = walk.by_ref().collect();
        let at = moment.registers.pc;
        assert_eq!(walk.outcome(), Ok(()), "{name} {at:#x}");
        let pcs: Vec<_> = frames.iter().map(|frame| frame.pc).collect();
        assert_eq!(pcs, truth(moment, handler), "{name} {at:#x}");
        for (source, count) in [Source::RegsLr, Source::Sframe]
            .into_iter()
            .zip(&mut sources)
        {
            *count += frames.iter().filter(|frame| frame.source == source).count();
        }
    });
    println!("{name}: {interrupts} exceptions, caller in x30 and on the stack: {sources:?}");
    (interrupts, sources)
}

#[test]
fn exceptions_at_every_instruction_are_crossed() {
    for name in ["aarch64", "aarch64-pauth"] {
        for (reads_calls, check) in [
            (ReadsCalls::No, Check::Exceptions),
            (ReadsCalls::Yes, Check::Exceptions),
            (ReadsCalls::Yes, Check::EveryFrame),
        ] {
            let (interrupts, [in_lr, on_stack]) = walk_through(name, reads_calls, check);
            assert!(interrupts > 700 && in_lr > 100 && on_stack > 100);
            assert_eq!(in_lr + on_stack, interrupts);
        }
    }
}
