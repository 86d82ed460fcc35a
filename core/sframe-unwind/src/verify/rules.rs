//! Rules: whether a frame can be so.

use super::{At, Check, Code, Severity};
use crate::abi::Abi;
use crate::rule::{Base, CfaRule, Recovery, Rules};

/// Bytes a stack pointer of AArch64 is aligned to (AAPCS64, 6.4.5.1).
const STACK_ALIGN: i32 = 16;
/// Bytes of a register.
const WORD: i32 = 8;

impl Check<'_, '_> {
    pub(super) fn rules(&mut self, place: At, rules: &Rules) {
        let abi = self.section.header().abi;
        let (cfa_base, cfa_offset) = match rules.cfa {
            CfaRule::Offset { base, offset } | CfaRule::Load { base, offset } => (base, offset),
        };
        self.register(place, abi, cfa_base);
        for recovery in [rules.ra, rules.fp] {
            if let Recovery::Register { base, .. } | Recovery::RegisterLoad { base, .. } = recovery
            {
                self.register(place, abi, base);
            }
        }
        if rules.is_ra_signed && !abi.is_aarch64() {
            self.error(Code::SignedRa, place, 1);
        }
        if let CfaRule::Offset {
            base: Base::Sp,
            offset,
        } = rules.cfa
        {
            if offset < 0 {
                let odd = Some(Severity::Warning);
                self.kernel(odd, Code::CfaBelowSp, place, offset.into());
            }
            if offset.checked_rem(STACK_ALIGN) != Some(0) {
                self.kernel(None, Code::CfaAlignment, place, offset.into());
            }
        }
        if self.policy.is_kernel() {
            self.saves(place, rules, cfa_base, cfa_offset);
        }
    }

    /// Numbers that DWARF gives to registers of a processor; 536870911 is what GNU as makes of -1.
    fn register(&mut self, place: At, abi: Abi, base: Base) {
        let Base::Register(number) = base else {
            return;
        };
        let most = match abi {
            Abi::Aarch64Big | Abi::Aarch64Little => 95,
            Abi::X86_64 => 16,
            Abi::S390x => 31,
        };
        if number > most {
            self.error(Code::Register, place, number.into());
        }
    }

    /// Saved registers are words within the frame, and reading them goes up the stack.
    fn saves(&mut self, place: At, rules: &Rules, base: Base, cfa_offset: i32) {
        let mut saved = [None; 2];
        for (slot, recovery) in saved.iter_mut().zip([rules.fp, rules.ra]) {
            match recovery {
                Recovery::Saved(offset) => {
                    *slot = Some(offset);
                    let is_above_sp = base != Base::Sp || offset >= cfa_offset.saturating_neg();
                    let is_word =
                        offset.checked_rem(WORD) == Some(0) && offset <= WORD.saturating_neg();
                    if !is_word || !is_above_sp {
                        self.error(Code::SaveOutside, place, offset.into());
                    }
                }
                Recovery::Unchanged => {}
                Recovery::CfaOffset(offset) => self.error(Code::Flexible, place, offset.into()),
                Recovery::Register { offset, .. } | Recovery::RegisterLoad { offset, .. } => {
                    self.error(Code::Flexible, place, offset.into());
                }
            }
        }
        if let [Some(fp), Some(ra)] = saved
            && fp >= ra
        {
            self.error(Code::FpAboveRa, place, fp.into());
        }
    }
}
