//! A function descriptor: which instructions it covers and where its rows are.

use crate::error::{Malformed, MalformedKind};
use crate::rule::Row;

/// Bytes of the start address of each row of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddrSize {
    /// One byte.
    One,
    /// Two bytes.
    Two,
    /// Four bytes.
    Four,
}

impl AddrSize {
    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// What start addresses of rows count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcType {
    /// From the start of the function.
    Inc,
    /// From the start of a block of code that is repeated, like an entry of a procedure linkage table.
    Mask,
}

/// The key that signs return addresses (AArch64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauthKey {
    /// Instruction key A.
    A,
    /// Instruction key B.
    B,
}

/// What the words of rows mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdeKind {
    /// Offsets, by the rules of the processor.
    Default,
    /// Control words with registers, each with an offset; version 3.
    Flexible,
}

/// A function descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fde {
    /// Its index in the section.
    pub index: u32,
    /// Address of the first instruction.
    pub start: u64,
    /// Bytes of code.
    pub size: u32,
    /// Count of rows.
    pub num_fres: u32,
    /// Offset of the first row in the area of rows.
    pub fre_off: u32,
    /// Bytes of the start address of a row.
    pub addr_size: AddrSize,
    /// What they count from.
    pub pc_type: PcType,
    /// What signs its return addresses.
    pub key: PauthKey,
    /// Whether it is the trampoline of a signal frame: the address in it is exact; version 3.
    pub is_signal_frame: bool,
    /// What the words of its rows mean.
    pub kind: FdeKind,
    /// Bytes of a repeated block; 0 in version 1, which does not store it.
    pub rep_size: u8,
}

/// The fields of a descriptor that are packed in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    pub(crate) info: u8,
    pub(crate) info2: u8,
}

impl Fde {
    /// Whether an address is one of its instructions.
    #[must_use]
    pub const fn contains(&self, pc: u64) -> bool {
        // A start near the end of the address space does not wrap: the distance is compared.
        pc.wrapping_sub(self.start) < widen(self.size)
    }

    /// The address behind its last instruction.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.wrapping_add(widen(self.size))
    }

    /// Whether it has no rows because its frames are the last: not for signal frames, whose descriptor has no
    /// rows when the assembler could not express them.
    #[must_use]
    pub const fn is_outermost(&self) -> bool {
        self.num_fres == 0 && !self.is_signal_frame && matches!(self.kind, FdeKind::Default)
    }

    /// What the row of an instruction is looked up by: its offset in the function or in the repeated block.
    ///
    /// # Errors
    /// The block is said to have no bytes.
    pub(crate) fn row_offset(&self, pc: u64) -> Result<u32, Malformed> {
        // The caller has checked that the function contains the address, so it is less than `size`.
        let offset = u32::try_from(pc.wrapping_sub(self.start)).unwrap_or(u32::MAX);
        match self.pc_type {
            PcType::Inc => Ok(offset),
            PcType::Mask => offset
                .checked_rem(u32::from(self.rep_size))
                .ok_or_else(|| self.malformed(self.fre_off, MalformedKind::RepSize)),
        }
    }

    /// Whether a row begins behind the code it should describe.
    #[must_use]
    pub const fn is_row_outside(&self, row: &Row) -> bool {
        row.start >= self.size
    }

    pub(crate) const fn malformed(&self, offset: u32, kind: MalformedKind) -> Malformed {
        Malformed {
            fde: self.index,
            offset,
            kind,
        }
    }
}

impl Packed {
    pub(crate) const fn addr_size(self) -> Result<AddrSize, MalformedKind> {
        match self.info & 0xf {
            0 => Ok(AddrSize::One),
            1 => Ok(AddrSize::Two),
            2 => Ok(AddrSize::Four),
            code => Err(MalformedKind::AddrSize(code)),
        }
    }

    pub(crate) const fn pc_type(self) -> PcType {
        if self.info & 0x10 == 0 {
            PcType::Inc
        } else {
            PcType::Mask
        }
    }

    pub(crate) const fn key(self) -> PauthKey {
        if self.info & 0x20 == 0 {
            PauthKey::A
        } else {
            PauthKey::B
        }
    }

    pub(crate) const fn is_signal_frame(self) -> bool {
        self.info & 0x80 != 0
    }

    pub(crate) const fn kind(self) -> Result<FdeKind, MalformedKind> {
        match self.info2 & 0x1f {
            0 => Ok(FdeKind::Default),
            1 => Ok(FdeKind::Flexible),
            code => Err(MalformedKind::FdeType(code)),
        }
    }
}

#[expect(
    clippy::as_conversions,
    reason = "no `u64::from` in a constant function"
)]
const fn widen(value: u32) -> u64 {
    value as u64
}
