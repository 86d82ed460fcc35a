//! From a frame to its caller by SFrame data, and from there to the last one.

use super::{CodeAddr, Reason, Unreliable};
use crate::rule::{Base, CfaRule, Recovery, Rules, Unwind};
use crate::tables::{Cover, Tables};

/// What a processor's calling convention fixes.
pub trait Arch {
    /// DWARF number of the register that a call leaves the return address in; `None` when it is on the stack.
    const LINK_REGISTER: Option<u32>;
    /// Bytes between the stack pointer of a frame and its CFA in the callee.
    const CFA_BIAS: u64;
    /// Bytes below the stack pointer that no signal handler writes to.
    const RED_ZONE: u64;
}

/// AArch64, both byte orders (AAPCS64).
#[derive(Clone, Copy, Debug)]
pub struct Arm64;

impl Arch for Arm64 {
    const LINK_REGISTER: Option<u32> = Some(30);
    const CFA_BIAS: u64 = 0;
    const RED_ZONE: u64 = 0;
}

/// x86-64 (System V ABI).
#[derive(Clone, Copy, Debug)]
pub struct X86_64;

impl Arch for X86_64 {
    const LINK_REGISTER: Option<u32> = None;
    const CFA_BIAS: u64 = 0;
    const RED_ZONE: u64 = 128;
}

/// s390x (ELF ABI): the CFA is behind the 160 bytes that a caller keeps free for its callee.
#[derive(Clone, Copy, Debug)]
pub struct S390x;

impl Arch for S390x {
    const LINK_REGISTER: Option<u32> = Some(14);
    const CFA_BIAS: u64 = 160;
    const RED_ZONE: u64 = 0;
}

/// What is unwound: its memory and its code.
pub trait Process {
    /// Eight bytes at an address, in the byte order of the processor; `None` when they cannot be read.
    fn read_u64(&self, addr: u64) -> Option<u64>;

    /// Whether an address is one of an instruction that can be unwound.
    fn is_text(&self, pc: u64) -> bool;

    /// The end of the stack that has an address; `None` when none has. A frame ends on the stack it is on,
    /// unless it is that of a signal.
    fn stack_end(&self, addr: u64) -> Option<u64>;

    /// A return address without its authentication code.
    fn strip_pac(&self, pc: u64) -> u64 {
        pc
    }

    /// Whether the instruction in front of a return address can have called the function that has the
    /// instruction `callee`. What cannot read its code says yes; then a signal's trampoline that nothing
    /// describes is taken for the end of the function in front of it.
    fn is_call(&self, _ra: u64, _callee: u64) -> bool {
        true
    }
}

/// Registers of the topmost frame, by DWARF number.
pub trait Registers {
    /// The value of a register; `None` when it is not known.
    fn get(&self, number: u32) -> Option<u64>;
}

impl<F: Fn(u32) -> Option<u64>> Registers for F {
    fn get(&self, number: u32) -> Option<u64> {
        self(number)
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub pc: CodeAddr,
    /// Its stack pointer.
    pub sp: u64,
    /// Its frame pointer.
    pub fp: u64,
}

/// What comes behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its caller, and the CFA of the frame that was left.
    Caller {
        /// The caller.
        state: State,
        /// The canonical frame address.
        cfa: u64,
    },
    /// Nothing: it is the last.
    Last,
}

/// Goes from a frame to its caller. Registers are of this frame, and only known when it is the topmost one.
///
/// # Errors
/// Why the caller is not certain.
#[inline]
pub fn step<A: Arch>(
    state: &State,
    registers: Option<&dyn Registers>,
    tables: &impl Tables,
    process: &impl Process,
) -> Result<Step, Reason> {
    let pc = state.pc.lookup();
    let cover = tables
        .cover(pc)
        .map_err(|malformed| Reason::Malformed { pc, malformed })?
        .ok_or(Reason::NoRules { pc })?;
    let rules = match &cover.unwind {
        Unwind::Outermost => return Ok(Step::Last),
        Unwind::Caller(rules) => rules,
    };
    let frame = Frame {
        state,
        registers,
        process,
    };
    let cfa = frame.cfa(rules.cfa)?;
    frame.check_cfa::<A>(cfa, &cover)?;
    let fp = match rules.fp {
        Recovery::Unchanged => state.fp,
        Recovery::CfaOffset(offset) => cfa.wrapping_add_signed(offset.into()),
        fp => frame.recover::<A>(cfa, fp, &cover)?,
    };
    let ra = frame.return_address::<A>(cfa, rules, &cover)?;
    let ra = process.strip_pac(ra);
    if !process.is_text(ra) {
        return Err(Reason::NotText { pc: ra });
    }
    let pc = if cover.is_signal_frame {
        CodeAddr::Instruction(ra)
    } else if process.is_call(ra, pc) {
        CodeAddr::Return(ra)
    } else if matches!(tables.cover(ra), Ok(Some(cover)) if cover.is_signal_frame) {
        // A handler returns to the trampoline's first instruction, which nothing has called.
        CodeAddr::Instruction(ra)
    } else {
        return Err(Reason::NotACall { pc: ra, callee: pc });
    };
    let sp = cfa.wrapping_sub(A::CFA_BIAS);
    Ok(Step::Caller {
        state: State { pc, sp, fp },
        cfa,
    })
}

/// Gives the topmost frame and every caller to `frame_fn`, up to the last one. Returns how many there are.
///
/// # Errors
/// The first frame whose caller is not certain, and why; the frames given up to then are.
pub fn walk<A: Arch>(
    top: State,
    registers: &dyn Registers,
    tables: &impl Tables,
    process: &impl Process,
    most: usize,
    frame_fn: &mut dyn FnMut(&State),
) -> Result<usize, Unreliable> {
    let mut state = top;
    let mut registers = Some(registers);
    for frame in 0..most {
        frame_fn(&state);
        match step::<A>(&state, registers.take(), tables, process) {
            Ok(Step::Caller { state: caller, .. }) => state = caller,
            Ok(Step::Last) => return Ok(frame.saturating_add(1)),
            Err(reason) => return Err(Unreliable { frame, reason }),
        }
    }
    Err(Unreliable {
        frame: most,
        reason: Reason::TooDeep(most),
    })
}

/// A frame while its caller is looked for.
struct Frame<'a, P> {
    state: &'a State,
    registers: Option<&'a dyn Registers>,
    process: &'a P,
}

impl<P: Process> Frame<'_, P> {
    fn base(&self, base: Base) -> Result<u64, Reason> {
        match base {
            Base::Sp => Ok(self.state.sp),
            Base::Fp => Ok(self.state.fp),
            Base::Register(number) => self.register(number),
        }
    }

    fn register(&self, number: u32) -> Result<u64, Reason> {
        self.registers
            .and_then(|registers| registers.get(number))
            .ok_or(Reason::NoRegister { number })
    }

    fn read(&self, addr: u64) -> Result<u64, Reason> {
        if addr & 7 != 0 {
            return Err(Reason::Misaligned { addr });
        }
        self.process
            .read_u64(addr)
            .ok_or(Reason::ReadFault { addr })
    }

    fn cfa(&self, rule: CfaRule) -> Result<u64, Reason> {
        match rule {
            CfaRule::Offset { base, offset } => {
                Ok(self.base(base)?.wrapping_add_signed(offset.into()))
            }
            CfaRule::Load { base, offset } => {
                let addr = self.base(base)?.wrapping_add_signed(offset.into());
                self.read(addr)
            }
        }
    }

    /// The frame is a piece of the stack it is on, and has bytes, unless it is a leaf's. That of a signal may be
    /// on another stack than what was interrupted.
    fn check_cfa<A: Arch>(&self, cfa: u64, cover: &Cover) -> Result<(), Reason> {
        if cfa & 7 != 0 {
            return Err(Reason::Misaligned { addr: cfa });
        }
        let sp = self.state.sp;
        if cover.is_signal_frame {
            let is_stack = self.process.stack_end(cfa).is_some();
            return is_stack
                .then_some(())
                .ok_or(Reason::OutsideStack { addr: cfa });
        }
        let caller = cfa.wrapping_sub(A::CFA_BIAS);
        let is_leaf = self.registers.is_some() && A::LINK_REGISTER.is_some();
        let least = if is_leaf { sp } else { sp.saturating_add(8) };
        if caller < least || cfa < caller {
            return Err(Reason::WrongDirection {
                addr: cfa,
                than: sp,
            });
        }
        match self.process.stack_end(sp) {
            Some(end) if cfa <= end => Ok(()),
            Some(_) => Err(Reason::OutsideStack { addr: cfa }),
            None => Err(Reason::OutsideStack { addr: sp }),
        }
    }

    fn return_address<A: Arch>(
        &self,
        cfa: u64,
        rules: &Rules,
        cover: &Cover,
    ) -> Result<u64, Reason> {
        let pc = self.state.pc.lookup();
        match (rules.ra, A::LINK_REGISTER) {
            (Recovery::Unchanged, Some(number)) => self.register(number),
            (Recovery::Unchanged, None) => Err(Reason::Flexible { pc }),
            // An address on the stack is none of code.
            (Recovery::CfaOffset(_), _) => Err(Reason::Flexible { pc }),
            (ra, _) => self.recover::<A>(cfa, ra, cover),
        }
    }

    fn recover<A: Arch>(&self, cfa: u64, recovery: Recovery, cover: &Cover) -> Result<u64, Reason> {
        match recovery {
            Recovery::Unchanged | Recovery::CfaOffset(_) => Err(Reason::Flexible {
                pc: self.state.pc.lookup(),
            }),
            Recovery::Saved(offset) => {
                let addr = cfa.wrapping_add_signed(offset.into());
                if !cover.is_signal_frame {
                    self.check_slot::<A>(addr, cfa)?;
                }
                self.read(addr)
            }
            Recovery::Register { base, offset } => {
                Ok(self.base(base)?.wrapping_add_signed(offset.into()))
            }
            Recovery::RegisterLoad { base, offset } => {
                self.read(self.base(base)?.wrapping_add_signed(offset.into()))
            }
        }
    }

    /// A register is saved within the frame. Compilers do not always say that one was restored: then its copy
    /// is below the stack pointer, where nothing has written to, if the frame is the topmost.
    fn check_slot<A: Arch>(&self, addr: u64, cfa: u64) -> Result<(), Reason> {
        let below = match self.state.pc {
            CodeAddr::Instruction(_) => A::RED_ZONE,
            CodeAddr::Return(_) => 0,
        };
        let least = self.state.sp.saturating_sub(below);
        let is_inside = addr >= least && addr.checked_add(8).is_some_and(|end| end <= cfa);
        is_inside.then_some(()).ok_or(Reason::OutsideStack { addr })
    }
}
