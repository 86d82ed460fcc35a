//! Pointers that the kernel writes into its instructions while it starts.
//!
//! `runtime_const_ptr(sym)` is `movabs $0x0123456789abcdef, %reg` and an entry in the section `runtime_ptr_sym` with the
//! place of the constant; the kernel puts the value there, once (`arch/x86/include/asm/runtime-const.h`, v7.3). Nobody does
//! that in a module: the placeholder would stay, and be used as a pointer or as the end of user space. Often no variable
//! holds the value either, because nothing reads it. So in a module the instruction reads the constant out of an instruction
//! of the running kernel: `mov function+offset(%rip), %reg`, with the same length.

use crate::error::Error;

/// Start of the names of sections that list such instructions.
pub(crate) const SECTION_PREFIX: &str = "runtime_ptr_";

/// Bytes of the instruction in front of the constant: a prefix and the code of the operation.
const BEFORE: usize = 2;
const LEN: usize = 10;

/// Three bytes that do nothing.
const NOP: [u8; 3] = [0x0f, 0x1f, 0x00];

/// Offset of the displacement in the instruction that reads the constant.
pub(crate) const DISPLACEMENT_AT: u64 = 3;

/// Makes the instruction read the constant elsewhere. `constant` is the offset of the constant in the section; returned is that of
/// the instruction.
pub(crate) fn rewrite(code: &mut [u8], section: &str, constant: u64) -> Result<u64, Error> {
    let wrong = |found| Error::RuntimeConstant {
        section: section.into(),
        offset: constant,
        found,
        expected: "movabs of a constant to a register (REX.W B8+r)",
    };
    let before = u64::try_from(BEFORE).unwrap_or(0);
    let start = constant.checked_sub(before).ok_or(wrong([0; LEN]))?;
    let at = usize::try_from(start).unwrap_or(usize::MAX);
    let insn = code
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<LEN>())
        .ok_or(wrong([0; LEN]))?;
    let [rex, operation, ..] = *insn;
    if !matches!(rex, 0x48 | 0x49) || operation & 0xf8 != 0xb8 {
        return Err(wrong(*insn));
    }
    // What extends the register is in another bit of the prefix when it is loaded.
    let rex = if rex == 0x49 { 0x4c } else { 0x48 };
    let register = operation & 7;
    let [one, two, three] = NOP;
    *insn = [rex, 0x8b, register << 3 | 5, 0, 0, 0, 0, one, two, three];
    Ok(start)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

    use super::*;

    fn decoded(code: &[u8]) -> Vec<Instruction> {
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        decoder.iter().collect()
    }

    #[test]
    fn every_register_is_loaded_from_elsewhere() {
        for (rex, operation) in [0x48, 0x49]
            .into_iter()
            .flat_map(|rex| (0xb8..=0xbf).map(move |operation| (rex, operation)))
        {
            let mut code = std::vec![0x90, rex, operation];
            code.extend(0x0123_4567_89ab_cdef_u64.to_le_bytes());
            let before = decoded(&code)[1];
            assert_eq!(before.code(), Code::Mov_r64_imm64);
            assert_eq!(rewrite(&mut code, ".text.f", 3).unwrap(), 1);
            let after = decoded(&code);
            let [_, load, nop] = after[..] else {
                panic!("{after:?}");
            };
            assert_eq!(load.code(), Code::Mov_r64_rm64);
            assert_eq!(load.op0_register(), before.op0_register());
            assert!(load.is_ip_rel_memory_operand());
            // Displacement 0 is the place behind the instruction.
            assert_eq!(load.ip_rel_memory_address(), 8);
            assert_eq!(nop.code(), Code::Nop_rm32);
        }
    }

    #[test]
    fn another_instruction_is_refused() {
        let mut code = [0xc1, 0xe8, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(rewrite(&mut code, ".text.f", 2).is_err());
        assert!(rewrite(&mut code, ".text.f", 1).is_err());
        assert!(rewrite(&mut code, ".text.f", 9).is_err());
    }
}
