//! The walk itself.

use super::proof::check_frame_pointer;
use super::{
    CFA_MASK, Check, Frame, Kernel, META_FINAL, META_PT_REGS, META_RECORD, RECORD, Regs, Rewrite,
    Source, Start, pt_regs,
};
use crate::rule::{Base, CfaRule, Recovery, Rules, Unwind};
use crate::tables::Tables;
use crate::unwind::stack::Stacks;
use crate::unwind::{CodeAddr, Reason, Unreliable};

/// A trace through a kernel.
#[derive(Debug)]
pub struct KernelWalk<'a, T, K> {
    pub(super) tables: &'a T,
    pub(super) kernel: &'a K,
    stacks: Stacks,
    pub(super) frame: Frame,
    fp: u64,
    /// Registers of the frame, when it was interrupted.
    regs: Option<Regs>,
    /// How many frames have been given.
    given: usize,
    check: Check,
    /// The stack pointer of the frame, when it is known.
    pub(super) sp: Option<u64>,
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
    /// Begins a trace in which every frame is to be proven; see [`KernelWalk::check`].
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
            check: Check::default(),
            sp: None,
            unreliable: None,
            state: Progress::Begun,
        }
    }

    /// Says how much is to be proven: [`Check::Exceptions`] is the walk of the kernel's series, and faster.
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

    pub(super) fn doubt(&mut self, reason: Reason) {
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

    pub(super) fn check_call(&self, ra: u64, callee: u64) -> Result<(), Reason> {
        if self.kernel.is_call(ra, callee) {
            Ok(())
        } else {
            Err(Reason::NotACall { pc: ra, callee })
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
