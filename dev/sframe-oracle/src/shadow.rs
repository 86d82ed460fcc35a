//! The shadow stack: calls that have not returned.

use crate::machine::Machine;
use crate::recording::Registers;

/// How a frame is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By a return to the instruction behind a call.
    Call,
    /// By a return to a signal's trampoline.
    Trampoline,
    /// By the trampoline, to the instruction that was interrupted.
    Interrupted,
}

/// A call that has not returned: what must be found for the frame of the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it is.
    pub caller: Caller,
    /// Where it returns to.
    pub ra: u64,
    /// Stack pointer when it has returned, plus what the calling convention puts between it and the CFA.
    pub cfa: u64,
    /// Frame pointer of the caller.
    pub fp: u64,
}

/// Tells from one instruction what happened to the calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) machine: Machine,
    /// A signal's trampoline.
    pub(crate) restorer: Option<u64>,
    /// A signal's handler.
    pub(crate) handler: Option<u64>,
}

impl Watch {
    /// What an instruction did, by the registers before and after it.
    pub(crate) fn step(
        &self,
        calls: &mut Vec<Call>,
        instruction: &[u8],
        before: &Registers,
        after: &Registers,
    ) {
        if self.returns(calls, after) {
            calls.pop();
            return;
        }
        // An emulator goes on to the next instruction when a signal's trampoline is left.
        if calls.last().map(|call| call.caller) == Some(Caller::Interrupted)
            && !self.is_trampoline(after.pc)
        {
            calls.pop();
            if self.returns(calls, after) {
                calls.pop();
            }
            return;
        }
        if let Some(len) = self.machine.call_len(instruction) {
            calls.push(Call {
                caller: Caller::Call,
                ra: before.pc.wrapping_add(len),
                cfa: before.sp.wrapping_add(self.machine.cfa_bias()),
                fp: before.fp,
            });
            return;
        }
        // Nothing but a signal leads to the handler. It begins with an instruction that does nothing, because an
        // emulator stops behind it.
        if let (Some(handler), Some(restorer)) = (self.handler, self.restorer)
            && (handler..=handler.wrapping_add(4)).contains(&after.pc)
            && !(handler..=handler.wrapping_add(4)).contains(&before.pc)
        {
            calls.push(Call {
                caller: Caller::Interrupted,
                ra: before.pc,
                cfa: before.sp.wrapping_add(self.machine.cfa_bias()),
                fp: before.fp,
            });
            calls.push(Call {
                caller: Caller::Trampoline,
                ra: restorer,
                // The trampoline runs on the stack pointer that the handler returns with.
                cfa: match self.machine {
                    Machine::X86_64 => after.sp.wrapping_add(8),
                    Machine::Aarch64 | Machine::S390x => {
                        after.sp.wrapping_add(self.machine.cfa_bias())
                    }
                },
                fp: after.fp,
            });
        }
    }

    fn returns(&self, calls: &[Call], after: &Registers) -> bool {
        let sp = after.sp.wrapping_add(self.machine.cfa_bias());
        calls
            .last()
            .is_some_and(|call| (after.pc, sp) == (call.ra, call.cfa))
    }

    /// Two instructions, of at most eight bytes.
    fn is_trampoline(&self, pc: u64) -> bool {
        self.restorer
            .is_some_and(|restorer| pc.wrapping_sub(restorer) < 8)
    }
}
