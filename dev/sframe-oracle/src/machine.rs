//! Processors: where their registers are in the remote protocol, and how they call.

use anyhow::{Result, bail};

use crate::recording::Registers;

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// AArch64, little-endian.
    Aarch64,
    /// x86-64.
    X86_64,
    /// s390x.
    S390x,
}

/// What an instruction calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// This function.
    Function(u64),
    /// What a register says.
    Unknown,
}

impl Machine {
    /// All of them, in the order of their numbers in recordings.
    pub const ALL: [Self; 3] = [Self::Aarch64, Self::X86_64, Self::S390x];

    /// The one of an ELF machine number.
    ///
    /// # Errors
    /// There is none.
    pub fn of_elf(architecture: object::Architecture) -> Result<Self> {
        match architecture {
            object::Architecture::Aarch64 => Ok(Self::Aarch64),
            object::Architecture::X86_64 => Ok(Self::X86_64),
            object::Architecture::S390x => Ok(Self::S390x),
            other => bail!("no recordings for {other:?}"),
        }
    }

    /// A word of its memory.
    #[must_use]
    pub fn word(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Aarch64 | Self::X86_64 => u64::from_le_bytes(bytes),
            Self::S390x => u64::from_be_bytes(bytes),
        }
    }

    /// Registers in the answer to `g`: eight bytes each, as far as they are looked at.
    pub(crate) fn registers(self, answer: &[u8]) -> Result<Registers> {
        let word = |at: usize| {
            let bytes = answer.get(at * 8..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| self.word(*bytes))
        };
        // Places: pc, sp, fp, and where a call leaves the return address.
        let (pc, sp, fp, link) = match self {
            Self::Aarch64 => (32, 31, 29, Some(30)),
            Self::X86_64 => (16, 7, 6, None),
            // The program status word is two; r15, r11 and r14 behind it.
            Self::S390x => (1, 17, 13, Some(16)),
        };
        let link = link.map_or(Some(0), word);
        let all = word(pc).zip(word(sp)).zip(word(fp).zip(link));
        let Some(((pc, sp), (fp, link))) = all else {
            bail!("{} bytes of registers", answer.len());
        };
        Ok(Registers { pc, sp, fp, link })
    }

    /// Numbers of the registers asked for one by one, which can hold a saved value in a leaf function: f0, f2.
    pub(crate) const fn extra(self) -> &'static [(u32, u32)] {
        match self {
            // DWARF number, number in the remote protocol of the emulator.
            Self::S390x => &[(16, 35), (17, 37)],
            Self::Aarch64 | Self::X86_64 => &[],
        }
    }

    /// Bytes of an instruction if it is a call; `None` if it is not.
    pub(crate) fn call_len(self, instruction: &[u8]) -> Option<u64> {
        match self {
            Self::Aarch64 => {
                let word = u32::from_le_bytes(*instruction.first_chunk()?);
                let is_bl = word >> 26 == 0b10_0101;
                // blr, blraa, blrab and their forms with a zero modifier.
                let is_blr = word & 0xfeff_f000 == 0xd63f_0000;
                (is_bl || is_blr).then_some(4)
            }
            Self::X86_64 => match instruction {
                [0xe8, ..] => Some(5),
                // Calls through a register, without displacement.
                [0xff, modrm, ..] if modrm >> 3 == 0b11_010 => Some(2),
                [0x41, 0xff, modrm, ..] if modrm >> 3 == 0b11_010 => Some(3),
                _ => None,
            },
            Self::S390x => match instruction {
                [0xc0, 0xe5, ..] => Some(6),
                [0xa7, 0xe5, ..] | [0x0d, 0xe0..=0xef, ..] => {
                    Some(if instruction.first() == Some(&0xa7) {
                        4
                    } else {
                        2
                    })
                }
                _ => None,
            },
        }
    }

    /// What the instruction that ends where `code` ends calls; `None` if it is no call. `end` is the address
    /// behind it.
    #[must_use]
    pub fn call_before(self, code: &[u8], end: u64) -> Option<Called> {
        let lens: &[usize] = match self {
            Self::Aarch64 => &[4],
            Self::X86_64 => &[5, 2, 3],
            Self::S390x => &[6, 2, 4],
        };
        lens.iter().find_map(|len| {
            let instruction = code.get(code.len().checked_sub(*len)?..)?;
            let called = self.call_len(instruction)?;
            (u64::try_from(*len) == Ok(called)).then(|| self.called(instruction, end))
        })
    }

    fn called(self, instruction: &[u8], end: u64) -> Called {
        let displacement = match (self, instruction) {
            (Self::Aarch64, [a, b, c, d]) => {
                let word = u32::from_le_bytes([*a, *b, *c, *d]);
                let words = (word << 6).cast_signed() >> 6;
                (word >> 26 == 0b10_0101).then(|| i64::from(words) * 4 - 4)
            }
            (Self::X86_64, [0xe8, a, b, c, d]) => Some(i32::from_le_bytes([*a, *b, *c, *d]).into()),
            (Self::S390x, [0xc0, 0xe5, a, b, c, d]) => {
                Some(i64::from(i32::from_be_bytes([*a, *b, *c, *d])) * 2 - 6)
            }
            _ => None,
        };
        displacement.map_or(Called::Unknown, |displacement| {
            Called::Function(end.wrapping_add_signed(displacement))
        })
    }

    /// Bytes between the stack pointer at a call and the callee's CFA.
    pub(crate) const fn cfa_bias(self) -> u64 {
        match self {
            Self::Aarch64 | Self::X86_64 => 0,
            Self::S390x => 160,
        }
    }
}
