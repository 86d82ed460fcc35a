//! Instructions, as far as their meaning depends on their place.

use elf_index::Reloc;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};
use object::elf;

/// Where an instruction goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next one, as far as this crate cares.
    Other,
    /// To a place encoded in its last bytes.
    Direct {
        /// Offset in the section, if nothing relocates it.
        target: u64,
        /// Bytes of the displacement at the end.
        displacement: u64,
        /// What it is.
        branch: Branch,
    },
    /// To a place in a register or in memory, without coming back.
    IndirectJump,
}

/// A kind of direct branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// Comes back.
    Call,
    /// Does not come back.
    Jump,
    /// Is taken or not.
    Conditional,
}

/// An instruction in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Offset in the section.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Where it goes next.
    pub flow: Flow,
    /// Whether it does nothing.
    pub is_nop: bool,
}

impl Insn {
    /// Offset of the next instruction.
    #[must_use]
    #[inline]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// The instructions of some bytes, without gaps: what is no instruction is one byte that does nothing known.
#[expect(missing_debug_implementations, reason = "the decoder has none")]
pub struct Insns<'a> {
    decoder: Decoder<'a>,
    decoded: Instruction,
}

impl<'a> Insns<'a> {
    /// Decodes x86-64 code that starts at an offset of its section.
    #[must_use]
    pub fn new(code: &'a [u8], offset: u64) -> Self {
        Self {
            decoder: Decoder::with_ip(64, code, offset, DecoderOptions::NONE),
            decoded: Instruction::default(),
        }
    }
}

impl Iterator for Insns<'_> {
    type Item = Insn;

    #[inline]
    fn next(&mut self) -> Option<Insn> {
        if !self.decoder.can_decode() {
            return None;
        }
        let offset = self.decoder.ip();
        self.decoder.decode_out(&mut self.decoded);
        let decoded = &self.decoded;
        if decoded.is_invalid() {
            let next = self.decoder.position().saturating_sub(decoded.len());
            let next = next.saturating_add(1);
            self.decoder.set_ip(offset.wrapping_add(1));
            // The position lies inside of the code: something was decoded there.
            let _inside = self.decoder.set_position(next);
            return Some(Insn {
                offset,
                len: 1,
                flow: Flow::Other,
                is_nop: false,
            });
        }
        Some(Insn {
            offset,
            len: decoded.next_ip().wrapping_sub(offset),
            flow: flow(decoded),
            is_nop: is_nop(decoded.code()),
        })
    }
}

fn flow(decoded: &Instruction) -> Flow {
    let code = decoded.code();
    let branch = match decoded.op0_kind() {
        OpKind::NearBranch64 => match decoded.flow_control() {
            FlowControl::Call => Branch::Call,
            FlowControl::UnconditionalBranch => Branch::Jump,
            FlowControl::ConditionalBranch => Branch::Conditional,
            // XBEGIN has a displacement and goes on.
            _ => return Flow::Other,
        },
        _ if code == Code::Jmp_rm64 || code == Code::Jmp_m1664 => return Flow::IndirectJump,
        _ => return Flow::Other,
    };
    // LOOP counts on: its displacement is part of the bytes for objtool, which knows JRCXZ alone (v7.3).
    if is_loop(code) {
        return Flow::Other;
    }
    let is_short = code.is_jcc_short() || code.is_jmp_short() || is_jrcxz(code);
    Flow::Direct {
        target: decoded.near_branch64(),
        displacement: if is_short { 1 } else { 4 },
        branch,
    }
}

fn is_loop(code: Code) -> bool {
    matches!(
        code,
        Code::Loop_rel8_64_RCX
            | Code::Loop_rel8_64_ECX
            | Code::Loope_rel8_64_RCX
            | Code::Loope_rel8_64_ECX
            | Code::Loopne_rel8_64_RCX
            | Code::Loopne_rel8_64_ECX
    )
}

fn is_jrcxz(code: Code) -> bool {
    matches!(code, Code::Jrcxz_rel8_64 | Code::Jecxz_rel8_64)
}

fn is_nop(code: Code) -> bool {
    matches!(
        code,
        Code::Nopw | Code::Nopd | Code::Nopq | Code::Nop_rm16 | Code::Nop_rm32 | Code::Nop_rm64
    )
}

/// Tells whether a relocation of x86-64 is relative to its own place.
#[must_use]
#[inline]
pub const fn is_pc_relative(kind: u32) -> bool {
    matches!(
        elf::RelocationType(kind),
        elf::R_X86_64_PC8
            | elf::R_X86_64_PC16
            | elf::R_X86_64_PC32
            | elf::R_X86_64_PC64
            | elf::R_X86_64_PLT32
            | elf::R_X86_64_GOTPC32
            | elf::R_X86_64_GOTPCREL
    )
}

/// The addend of a relocation in an instruction as the program means it: a processor counts from the end of the
/// instruction, a relocation from its own place.
#[must_use]
#[inline]
pub const fn meant_addend(reloc: &Reloc, insn: &Insn) -> i64 {
    if is_pc_relative(reloc.kind) {
        let behind = insn.end().wrapping_sub(reloc.offset);
        reloc.addend.wrapping_add(behind.cast_signed())
    } else {
        reloc.addend
    }
}
