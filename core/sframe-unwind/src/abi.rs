//! The processors SFrame is defined for, and what their calling conventions fix.

/// Order of the bytes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Processor and byte order: the field `sfh_abi_arch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// `SFRAME_ABI_AARCH64_ENDIAN_BIG` (1).
    Aarch64Big,
    /// `SFRAME_ABI_AARCH64_ENDIAN_LITTLE` (2).
    Aarch64Little,
    /// `SFRAME_ABI_AMD64_ENDIAN_LITTLE` (3).
    X86_64,
    /// `SFRAME_ABI_S390X_ENDIAN_BIG` (4), from version 2 on.
    S390x,
}

impl Abi {
    /// The ABI of a value of `sfh_abi_arch`; `None` for one that no version defines.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Aarch64Big),
            2 => Some(Self::Aarch64Little),
            3 => Some(Self::X86_64),
            4 => Some(Self::S390x),
            _ => None,
        }
    }

    /// The value of `sfh_abi_arch`.
    #[must_use]
    pub const fn raw(self) -> u8 {
        match self {
            Self::Aarch64Big => 1,
            Self::Aarch64Little => 2,
            Self::X86_64 => 3,
            Self::S390x => 4,
        }
    }

    /// Its byte order.
    #[must_use]
    pub const fn endian(self) -> Endian {
        match self {
            Self::Aarch64Big | Self::S390x => Endian::Big,
            Self::Aarch64Little | Self::X86_64 => Endian::Little,
        }
    }

    /// Whether it is AArch64, of either byte order.
    #[must_use]
    pub const fn is_aarch64(self) -> bool {
        matches!(self, Self::Aarch64Big | Self::Aarch64Little)
    }

    /// DWARF number of the stack pointer.
    #[must_use]
    pub const fn sp(self) -> u32 {
        match self {
            Self::Aarch64Big | Self::Aarch64Little => 31,
            Self::X86_64 => 7,
            Self::S390x => 15,
        }
    }

    /// DWARF number of the frame pointer.
    #[must_use]
    pub const fn fp(self) -> u32 {
        match self {
            Self::Aarch64Big | Self::Aarch64Little => 29,
            Self::X86_64 => 6,
            Self::S390x => 11,
        }
    }

    /// Offset of the return address from the CFA that assemblers write into the header; 0 when each row says it.
    #[must_use]
    pub const fn fixed_ra_offset(self) -> i8 {
        match self {
            Self::X86_64 => -8,
            Self::Aarch64Big | Self::Aarch64Little | Self::S390x => 0,
        }
    }

    /// Most words a row of a default descriptor can have: for the CFA, for a return address that is not at a
    /// fixed place, for the frame pointer.
    pub(crate) const fn most_words(self) -> usize {
        match self {
            Self::X86_64 => 2,
            Self::Aarch64Big | Self::Aarch64Little | Self::S390x => 3,
        }
    }

    /// Bytes of CFA that a stored offset stands for: s390x stores `(offset - 160) / 8`.
    pub(crate) const fn cfa_offset(self, stored: i32) -> i32 {
        match self {
            Self::S390x => stored.wrapping_mul(8).wrapping_add(S390X_CFA_BIAS),
            _ => stored,
        }
    }
}

/// Bytes between the stack pointer and the CFA at the entry of a function of s390x.
pub(crate) const S390X_CFA_BIAS: i32 = 160;
