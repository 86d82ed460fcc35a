//! A preserved memfd, layout `memfd-v2`. C header: `include/linux/kho/abi/memfd.h`, v7.2 and v7.3.
//!
//! [`FileSer::data`](crate::luo::FileSer::data) of a memfd is the physical address of one
//! [`MemfdSer`], which points through a vmalloc descriptor to an array of [`FolioSer`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kexec_handover::Vmalloc;

/// Name of the file handler, with the version of this layout.
#[doc(alias = "MEMFD_LUO_FH_COMPATIBLE")]
pub const COMPATIBLE: &str = "memfd-v2";

/// State of a memfd; 48 bytes, packed in C (every field is naturally aligned anyway).
#[doc(alias = "memfd_luo_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MemfdSer {
    /// File position in bytes.
    pub pos: u64,
    /// File size in bytes.
    pub size: u64,
    /// Seals on the file.
    pub seals: Seals,
    /// Must be 0; the kernel does not check.
    pub flags: u32,
    /// Elements of the array behind [`folios`](Self::folios).
    pub nr_folios: u64,
    /// Array of [`FolioSer`]; all zero for an empty file.
    pub folios: Vmalloc,
}

/// Seals of a memfd, `F_SEAL_*` of `include/uapi/linux/fcntl.h`; unknown bits are kept.
#[repr(transparent)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Seals(pub u32);

impl Seals {
    /// No further seal can be added.
    #[doc(alias = "F_SEAL_SEAL")]
    pub const SEAL: Self = Self(0x01);
    /// The file cannot shrink.
    #[doc(alias = "F_SEAL_SHRINK")]
    pub const SHRINK: Self = Self(0x02);
    /// The file cannot grow.
    #[doc(alias = "F_SEAL_GROW")]
    pub const GROW: Self = Self(0x04);
    /// The file cannot be written.
    #[doc(alias = "F_SEAL_WRITE")]
    pub const WRITE: Self = Self(0x08);
    /// The file cannot be written except through mappings that exist.
    #[doc(alias = "F_SEAL_FUTURE_WRITE")]
    pub const FUTURE_WRITE: Self = Self(0x10);
    /// The mode's execute bits cannot change.
    #[doc(alias = "F_SEAL_EXEC")]
    pub const EXEC: Self = Self(0x20);
    /// Every seal this layout can carry; a file with others cannot be preserved or retrieved.
    #[doc(alias = "MEMFD_LUO_ALL_SEALS")]
    pub const ALL: Self = Self(0x3f);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Bits outside of [`ALL`](Self::ALL).
    #[must_use]
    pub const fn unknown(self) -> u32 {
        self.0 & !Self::ALL.0
    }
}

/// One folio of a memfd; 16 bytes.
///
/// C has two bit-fields here, `pfn:52` and `flags:12`; they are [`word`](Self::word).
#[doc(alias = "memfd_luo_folio_ser")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FolioSer {
    /// Frame number in bits 0 to 51, [`FolioFlags`] in bits 52 to 63.
    pub word: u64,
    /// Page offset in the file of the folio's first page.
    pub index: u64,
}

/// First bit of the flags in [`FolioSer::word`].
const FLAGS_SHIFT: u32 = 52;
/// Bits of the frame number in [`FolioSer::word`].
const PFN_MASK: u64 = (1 << FLAGS_SHIFT) - 1;

impl FolioSer {
    /// Largest frame number that can be stored.
    pub const MAX_PFN: u64 = PFN_MASK;

    /// Packs a folio; `None` when `pfn` needs more than 52 bits or `flags` more than 12.
    #[must_use]
    pub const fn new(pfn: u64, flags: FolioFlags, index: u64) -> Option<Self> {
        if pfn > PFN_MASK || flags.0 > FolioFlags::MASK {
            return None;
        }
        let [low, high] = flags.0.to_le_bytes();
        let flags = u64::from_le_bytes([low, high, 0, 0, 0, 0, 0, 0]);
        Some(Self {
            word: pfn | flags << FLAGS_SHIFT,
            index,
        })
    }

    /// Frame number of the folio's first page; 0 marks an entry to skip.
    #[must_use]
    pub const fn pfn(&self) -> u64 {
        self.word & PFN_MASK
    }

    /// State of the folio.
    #[must_use]
    pub const fn flags(&self) -> FolioFlags {
        let [low, high, ..] = (self.word >> FLAGS_SHIFT).to_le_bytes();
        FolioFlags(u16::from_le_bytes([low, high]))
    }
}

/// Flags of [`FolioSer`], 12 bits; unknown ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolioFlags(pub u16);

impl FolioFlags {
    /// The folio holds data of userspace.
    #[doc(alias = "MEMFD_LUO_FOLIO_DIRTY")]
    pub const DIRTY: Self = Self(1);
    /// The folio has been zeroed or written.
    #[doc(alias = "MEMFD_LUO_FOLIO_UPTODATE")]
    pub const UPTODATE: Self = Self(2);
    /// Bits that can be stored.
    const MASK: u16 = 0xfff;

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<MemfdSer>() == 48);
    assert!(offset_of!(MemfdSer, size) == 8);
    assert!(offset_of!(MemfdSer, seals) == 16);
    assert!(offset_of!(MemfdSer, flags) == 20);
    assert!(offset_of!(MemfdSer, nr_folios) == 24);
    assert!(offset_of!(MemfdSer, folios) == 32);
    assert!(size_of::<FolioSer>() == 16);
    assert!(offset_of!(FolioSer, index) == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folio_word_keeps_both_fields() {
        let folio = FolioSer::new(FolioSer::MAX_PFN, FolioFlags(0xabc), 7).unwrap();
        assert_eq!(folio.pfn(), FolioSer::MAX_PFN);
        assert_eq!(folio.flags(), FolioFlags(0xabc));
        assert_eq!(folio.word, 0xabcf_ffff_ffff_ffff);
    }

    #[test]
    fn values_too_wide_for_a_folio_word_are_refused() {
        assert_eq!(FolioSer::new(1 << 52, FolioFlags::DIRTY, 0), None);
        assert_eq!(FolioSer::new(1, FolioFlags(0x1000), 0), None);
    }
}
