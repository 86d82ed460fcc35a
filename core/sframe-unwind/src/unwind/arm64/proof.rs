//! [`Check::EveryFrame`](super::Check::EveryFrame): what a frame record must go with.

use super::walk::KernelWalk;
use super::{CFA_MASK, Kernel, Regs, pt_regs};
use crate::rule::{Base, CfaRule, Recovery, Rules, Unwind};
use crate::tables::{Cover, Tables};
use crate::unwind::Reason;

impl<T: Tables, K: Kernel> KernelWalk<'_, T, K> {
    /// Whether the present frame, which is in a call, keeps its record there, and returns to `ra`.
    pub(super) fn check_record(&mut self, record: u64, ra: u64) -> Result<(), Reason> {
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
    pub(super) fn check_metadata(&mut self, record: u64) {
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
}

/// In code that keeps frame pointers, x29 points to the record that the rules say, or still, or again, has what
/// is saved in it.
pub(super) fn check_frame_pointer(
    regs: &Regs,
    rules: &Rules,
    cfa: u64,
    fp: u64,
) -> Result<(), Reason> {
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
