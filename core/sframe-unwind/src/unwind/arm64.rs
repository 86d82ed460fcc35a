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

use super::stack::Stacks;
use super::{CodeAddr, Reason, Unreliable};
use crate::rule::{Base, CfaRule, Recovery, Rules, Unwind};
use crate::tables::{Cover, Tables};

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

    /// Whether the instruction in front of a return address can have called the function that has the
    /// instruction `callee`. It is asked where SFrame data was used: a stale x30 is a return address too. A
    /// kernel that cannot read its text says yes.
    fn is_call(&self, _ra: u64, _callee: u64) -> bool {
        true
    }
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

/// How much of a trace is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Frame records are taken as they are, SFrame data is used across exceptions only.
    #[default]
    Exceptions,
    /// Besides, each frame record has to be where SFrame data says that the function keeps it, x29 of an
    /// interrupted frame has to go with its rules, and each return address has to be behind a call of the callee. A record that leads past a frame, as damage can make it do, is found
    /// out; code without SFrame data makes a trace unreliable.
    EveryFrame,
}

/// A trace through a kernel.
#[derive(Debug)]
pub struct KernelWalk<'a, T, K> {
    tables: &'a T,
    kernel: &'a K,
    stacks: Stacks,
    frame: Frame,
    fp: u64,
    /// Registers of the frame, when it was interrupted.
    regs: Option<Regs>,
    /// How many frames have been given.
    given: usize,
    check: Check,
    /// The stack pointer of the frame, when it is known.
    sp: Option<u64>,
    /// The first thing that was not certain.
    unreliable: Option<Unreliable>,
    state: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The present frame has not been given.
    Begun,
    Walking,
    Ended,
}

/// The next frame, or the end.
enum Next {
    Frame,
    Final,
}

impl<'a, T: Tables, K: Kernel> KernelWalk<'a, T, K> {
    /// Begins a trace.
    #[must_use]
    pub fn new(start: Start, tables: &'a T, kernel: &'a K) -> Self {
        let (pc, source, fp, regs) = match start {
            Start::Regs(regs) => (
                CodeAddr::Instruction(regs.pc),
                Source::RegsPc,
                regs.fp,
                Some(regs),
            ),
            Start::Task { pc, fp } | Start::Caller { pc, fp } => {
                (CodeAddr::Return(pc), Source::Start, fp, None)
            }
        };
        Self {
            tables,
            kernel,
            stacks: Stacks::new(kernel.stacks()),
            frame: Frame { pc, source },
            fp,
            regs,
            given: 0,
            check: Check::Exceptions,
            sp: None,
            unreliable: None,
            state: Progress::Begun,
        }
    }

    /// Says how much is to be proven.
    #[must_use]
    pub const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// Whether the trace is to be relied on: it has ended where a trace ends, and nothing on the way was
    /// uncertain. To be asked when there are no more frames.
    ///
    /// # Errors
    /// The first frame whose caller was not certain.
    pub fn outcome(&self) -> Result<(), Unreliable> {
        match (self.unreliable, self.state) {
            (Some(unreliable), _) => Err(unreliable),
            (None, Progress::Ended) => Ok(()),
            (None, _) => Err(Unreliable {
                frame: self.given,
                reason: Reason::TooDeep(self.given),
            }),
        }
    }

    /// A call that the trace begins in can have been traced too.
    fn begin(&mut self) {
        self.state = Progress::Walking;
        let CodeAddr::Return(pc) = self.frame.pc else {
            return;
        };
        match self.return_address(self.fp, pc) {
            Ok(pc) => self.frame.pc = CodeAddr::Return(pc),
            Err(reason) => self.doubt(reason),
        }
    }

    fn doubt(&mut self, reason: Reason) {
        let frame = self.given.saturating_sub(1);
        self.unreliable.get_or_insert(Unreliable { frame, reason });
    }

    fn advance(&mut self) -> Result<Next, Reason> {
        let Some(regs) = self.regs.take() else {
            return self.next_record();
        };
        match self.cross_exception(&regs) {
            Ok(()) => Ok(Next::Frame),
            // Better a trace with a caller missing than none, for those who only want to read it.
            Err(reason) => {
                self.sp = None;
                self.doubt(reason);
                self.next_record()
            }
        }
    }

    /// The caller of an interrupted frame. Nothing is changed when it is not certain.
    fn cross_exception(&mut self, regs: &Regs) -> Result<(), Reason> {
        let pc = regs.pc;
        if self.kernel.is_obscured(pc) {
            return Err(Reason::TrampolineRewrite { pc });
        }
        let cover = self.tables.cover(pc);
        let cover = cover
            .map_err(|malformed| Reason::Malformed { pc, malformed })?
            .ok_or(Reason::NoRules { pc })?;
        let rules = match cover.unwind {
            Unwind::Outermost => return Err(Reason::RaUndefinedInKernel { pc }),
            Unwind::Caller(_) if cover.is_signal_frame => return Err(Reason::Flexible { pc }),
            Unwind::Caller(rules) => rules,
        };
        let cfa = self.cfa(regs, &rules)?;
        // In the order of addresses: the stack is consumed upwards.
        let mut least = regs.sp;
        let fp = match rules.fp {
            Recovery::Unchanged => regs.fp,
            Recovery::Saved(offset) => self.load(cfa, offset, &mut least)?,
            _ => return Err(Reason::Flexible { pc }),
        };
        let (ra, source) = match rules.ra {
            Recovery::Unchanged => (regs.lr, Source::RegsLr),
            Recovery::Saved(offset) => (self.load(cfa, offset, &mut least)?, Source::Sframe),
            _ => return Err(Reason::Flexible { pc }),
        };
        if self.check == Check::EveryFrame {
            check_frame_pointer(regs, &rules, cfa, fp)?;
        }
        let ra = self.return_address(fp, ra)?;
        self.check_call(ra, pc)?;
        self.sp = Some(cfa);
        self.stacks.consume(regs.sp, cfa.wrapping_sub(regs.sp))?;
        self.fp = fp;
        self.frame = Frame {
            pc: CodeAddr::Return(ra),
            source,
        };
        Ok(())
    }

    fn cfa(&self, regs: &Regs, rules: &Rules) -> Result<u64, Reason> {
        let (base, offset) = match rules.cfa {
            CfaRule::Offset {
                base: Base::Sp,
                offset,
            } => (regs.sp, offset),
            CfaRule::Offset {
                base: Base::Fp,
                offset,
            } => (regs.fp, offset),
            _ => return Err(Reason::Flexible { pc: regs.pc }),
        };
        if base < regs.sp {
            return Err(Reason::WrongDirection {
                addr: base,
                than: regs.sp,
            });
        }
        let cfa = base.wrapping_add_signed(offset.into());
        if cfa & CFA_MASK != 0 {
            return Err(Reason::Misaligned { addr: cfa });
        }
        let Some(len) = cfa.checked_sub(regs.sp) else {
            return Err(Reason::WrongDirection {
                addr: cfa,
                than: regs.sp,
            });
        };
        self.stacks.check(regs.sp, len)?;
        Ok(cfa)
    }

    /// A word that is saved in the frame, at `least` or above; then `least` is behind it.
    fn load(&self, cfa: u64, offset: i32, least: &mut u64) -> Result<u64, Reason> {
        let addr = cfa.wrapping_add_signed(offset.into());
        if addr & 7 != 0 {
            return Err(Reason::Misaligned { addr });
        }
        if addr < *least {
            return Err(Reason::WrongDirection { addr, than: *least });
        }
        match addr.checked_add(8) {
            Some(end) if end <= cfa => *least = end,
            _ => {
                return Err(Reason::WrongDirection {
                    addr: cfa,
                    than: addr,
                });
            }
        }
        self.read(addr)
    }

    fn read(&self, addr: u64) -> Result<u64, Reason> {
        self.kernel.read_u64(addr).ok_or(Reason::ReadFault { addr })
    }

    /// A return address as the processor will use it.
    fn return_address(&self, fp: u64, pc: u64) -> Result<u64, Reason> {
        let pc = self.kernel.strip_pac(pc);
        let pc = match self.kernel.rewrite(fp, pc) {
            Rewrite::None => pc,
            Rewrite::Original(original) => original,
            Rewrite::Lost => return Err(Reason::TrampolineRewrite { pc }),
        };
        if self.kernel.is_text(pc) {
            Ok(pc)
        } else {
            Err(Reason::NotText { pc })
        }
    }

    fn next_record(&mut self) -> Result<Next, Reason> {
        let record = self.fp;
        if record & 7 != 0 {
            return Err(Reason::Misaligned { addr: record });
        }
        self.stacks.check(record, RECORD)?;
        let fp = self.read(record)?;
        let lr = self.read(record.wrapping_add(8))?;
        if fp == 0 && lr == 0 {
            return self.next_metadata(record);
        }
        let pc = self.return_address(fp, lr)?;
        if self.check == Check::EveryFrame
            && let Err(reason) = self.check_record(record, pc)
        {
            self.sp = None;
            self.doubt(reason);
        }
        self.stacks.consume(record, RECORD)?;
        self.fp = fp;
        self.frame = Frame {
            pc: CodeAddr::Return(pc),
            source: Source::FrameRecord,
        };
        Ok(Next::Frame)
    }

    fn check_call(&self, ra: u64, callee: u64) -> Result<(), Reason> {
        if self.kernel.is_call(ra, callee) {
            Ok(())
        } else {
            Err(Reason::NotACall { pc: ra, callee })
        }
    }

    /// Whether the present frame, which is in a call, keeps its record there, and returns to `ra`.
    fn check_record(&mut self, record: u64, ra: u64) -> Result<(), Reason> {
        let pc = self.frame.pc.lookup();
        let cover = self.tables.cover(pc);
        let cover = cover
            .map_err(|malformed| Reason::Malformed { pc, malformed })?
            .ok_or(Reason::NoRules { pc })?;
        let Unwind::Caller(rules) = cover.unwind else {
            return Err(Reason::RaUndefinedInKernel { pc });
        };
        let (Recovery::Saved(fp), Recovery::Saved(saved_ra)) = (rules.fp, rules.ra) else {
            return Err(Reason::Flexible { pc });
        };
        let cfa = record.wrapping_add_signed(i64::from(fp).wrapping_neg());
        let expected = match (rules.cfa, self.sp) {
            (
                CfaRule::Offset {
                    base: Base::Sp,
                    offset,
                },
                Some(sp),
            ) => sp.wrapping_add_signed(offset.into()),
            (CfaRule::Offset { base: Base::Sp, .. }, None) => cfa,
            (
                CfaRule::Offset {
                    base: Base::Fp,
                    offset,
                },
                _,
            ) => record.wrapping_add_signed(offset.into()),
            _ => return Err(Reason::Flexible { pc }),
        };
        if cfa != expected || cfa & CFA_MASK != 0 || saved_ra != fp.wrapping_add(8) {
            return Err(Reason::Elsewhere {
                record,
                cfa: expected,
            });
        }
        self.check_call(ra, pc)?;
        self.sp = Some(cfa);
        Ok(())
    }

    /// What runs directly on a metadata record is the kernel's entry code, which has no SFrame data and no frame:
    /// it calls with its stack pointer at the saved registers. A function that has SFrame data keeps a record of
    /// its own.
    fn check_metadata(&mut self, record: u64) {
        let cover = self.tables.cover(self.frame.pc.lookup());
        let is_function = matches!(
            cover,
            Ok(Some(Cover {
                unwind: Unwind::Caller(_),
                ..
            }))
        );
        let regs = record.wrapping_sub(pt_regs::STACKFRAME);
        let is_elsewhere = self.sp.is_some_and(|sp| sp != regs);
        if is_function || is_elsewhere {
            let cfa = self.sp.unwrap_or(record);
            self.doubt(Reason::Elsewhere { record, cfa });
        }
    }

    fn next_metadata(&mut self, record: u64) -> Result<Next, Reason> {
        self.stacks.check(record, META_RECORD)?;
        if self.check == Check::EveryFrame {
            self.check_metadata(record);
        }
        match self.read(record.wrapping_add(RECORD))? {
            META_FINAL if record == self.kernel.final_record() => Ok(Next::Final),
            META_PT_REGS => self.next_regs(record.wrapping_sub(pt_regs::STACKFRAME)),
            _ => Err(Reason::BadTermination { addr: record }),
        }
    }

    fn next_regs(&mut self, addr: u64) -> Result<Next, Reason> {
        self.stacks.consume(addr, pt_regs::SIZE)?;
        let read = |offset: u64| self.read(addr.wrapping_add(offset));
        let regs = Regs {
            pc: read(pt_regs::PC)?,
            sp: read(pt_regs::SP)?,
            fp: read(pt_regs::FP)?,
            lr: read(pt_regs::LR)?,
        };
        if !self.kernel.is_text(regs.pc) {
            return Err(Reason::NotText { pc: regs.pc });
        }
        self.fp = regs.fp;
        self.sp = Some(regs.sp);
        self.regs = Some(regs);
        self.frame = Frame {
            pc: CodeAddr::Instruction(regs.pc),
            source: Source::RegsPc,
        };
        Ok(Next::Frame)
    }
}

/// In code that keeps frame pointers, x29 points to the record that the rules say, or still, or again, has what
/// is saved in it.
fn check_frame_pointer(regs: &Regs, rules: &Rules, cfa: u64, fp: u64) -> Result<(), Reason> {
    let Recovery::Saved(offset) = rules.fp else {
        return Ok(());
    };
    let record = cfa.wrapping_add_signed(offset.into());
    if regs.fp == record || regs.fp == fp {
        Ok(())
    } else {
        Err(Reason::Elsewhere { record, cfa })
    }
}

impl<T: Tables, K: Kernel> Iterator for KernelWalk<'_, T, K> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        match self.state {
            Progress::Begun => self.begin(),
            Progress::Walking => match self.advance() {
                Ok(Next::Frame) => {}
                Ok(Next::Final) => {
                    self.state = Progress::Ended;
                    return None;
                }
                Err(reason) => {
                    self.doubt(reason);
                    self.state = Progress::Ended;
                    return None;
                }
            },
            Progress::Ended => return None,
        }
        self.given = self.given.saturating_add(1);
        Some(self.frame)
    }
}
