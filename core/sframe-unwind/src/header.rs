//! The header of a section: 28 bytes in every version, the first four of which never change.

use crate::abi::{Abi, Endian};
use crate::bytes::read_at;
use crate::error::ParseError;

/// The number a section begins with.
pub(crate) const MAGIC: u16 = 0xdee2;
/// Bytes of the header without the auxiliary one.
pub(crate) const HEADER_LEN: usize = 28;

/// Version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// binutils 2.40.
    V1,
    /// binutils 2.41 to 2.45.
    V2,
    /// binutils 2.46 and later.
    V3,
}

impl Version {
    /// The version of a value of `sfp_version`.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }

    /// The value of `sfp_version`.
    #[must_use]
    pub const fn raw(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// Bytes of an entry of the function index.
    pub(crate) const fn fde_len(self) -> usize {
        match self {
            Self::V1 => 17,
            Self::V2 => 20,
            Self::V3 => 16,
        }
    }

    /// Flags it defines; start addresses relative to themselves came with erratum 1 of version 2.
    const fn flags(self) -> u8 {
        match self {
            Self::V1 => Flags::SORTED.0 | Flags::FRAME_POINTER.0,
            Self::V2 => Flags::SORTED.0 | Flags::FRAME_POINTER.0 | Flags::PCREL.0,
            Self::V3 => Flags::SORTED.0 | Flags::PCREL.0,
        }
    }
}

/// Flags of a section: the field `sfp_flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// `SFRAME_F_FDE_SORTED`: descriptors ascend by start address.
    pub const SORTED: Self = Self(1);
    /// `SFRAME_F_FRAME_POINTER`: all functions keep the frame pointer; versions 1 and 2.
    pub const FRAME_POINTER: Self = Self(2);
    /// `SFRAME_F_FDE_FUNC_START_PCREL`: a start address is relative to its own field.
    pub const PCREL: Self = Self(4);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The header, as far as it does not only say where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: Version,
    /// Flags.
    pub flags: Flags,
    /// Processor and byte order.
    pub abi: Abi,
    /// Offset of the saved frame pointer from the CFA in every frame, in bytes; 0 when each row says it.
    pub fixed_fp_offset: i8,
    /// Offset of the return address from the CFA in every frame, in bytes; 0 when each row says it.
    pub fixed_ra_offset: i8,
    /// Bytes of the auxiliary header behind this one.
    pub aux_len: u8,
    /// Count of function descriptors.
    pub num_fdes: u32,
    /// Count of frame rows, as alleged.
    pub num_fres: u32,
    /// Bytes of frame rows.
    pub fre_len: u32,
    /// Offset of the function descriptors from the end of the headers.
    pub fdeoff: u32,
    /// Offset of the frame rows from the end of the headers.
    pub freoff: u32,
}

impl Header {
    /// Reads the header at the start of a section.
    ///
    /// # Errors
    /// It is cut off, or has a version, a flag or a processor that is not defined.
    pub fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let truncated = ParseError::Truncated {
            need: HEADER_LEN,
            len: bytes.len(),
        };
        let magic: u16 = read_at(bytes, 0, Endian::Little).ok_or(truncated)?;
        let endian = match magic {
            MAGIC => Endian::Little,
            found if found.swap_bytes() == MAGIC => Endian::Big,
            found => return Err(ParseError::Magic { found }),
        };
        let byte = |at: usize| bytes.get(at).copied().ok_or(truncated);
        let word = |at: usize| read_at::<u32>(bytes, at, endian).ok_or(truncated);
        let found = byte(2)?;
        let version = Version::from_raw(found).ok_or(ParseError::Version { found })?;
        let flags = Flags(byte(3)?);
        if flags.0 & !version.flags() != 0 {
            return Err(ParseError::Flags {
                version,
                found: flags.0,
            });
        }
        let found = byte(4)?;
        let abi = match Abi::from_raw(found) {
            Some(Abi::S390x) if version == Version::V1 => None,
            abi => abi,
        };
        let abi = abi.ok_or(ParseError::Abi { version, found })?;
        if abi.endian() != endian {
            return Err(ParseError::ByteOrder { abi: found });
        }
        Ok(Self {
            version,
            flags,
            abi,
            fixed_fp_offset: byte(5)?.cast_signed(),
            fixed_ra_offset: byte(6)?.cast_signed(),
            aux_len: byte(7)?,
            num_fdes: word(8)?,
            num_fres: word(0xc)?,
            fre_len: word(0x10)?,
            fdeoff: word(0x14)?,
            freoff: word(0x18)?,
        })
    }

    /// Bytes of this header and the auxiliary one.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        HEADER_LEN.saturating_add(usize::from(self.aux_len))
    }
}
