//! Sections.

use core::fmt;

use object::elf::{self, SectionFlags, SectionType};

/// Index of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId(pub u32);

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A section header with its name and contents.
#[derive(Clone, Copy, Debug)]
pub struct Section<'d> {
    /// Name.
    pub name: &'d str,
    /// `sh_type`.
    pub kind: SectionType,
    /// `sh_flags`.
    pub flags: SectionFlags,
    /// `sh_addr`: 0 in a relocatable file.
    pub address: u64,
    /// `sh_offset`.
    pub offset: u64,
    /// `sh_size` in bytes; of `SHT_NOBITS` too, which has no contents.
    pub size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// `sh_addralign`.
    pub align: u64,
    /// `sh_entsize`.
    pub entry_size: u64,
    /// Bytes in the file; empty for `SHT_NOBITS`.
    pub data: &'d [u8],
}

impl<'d> Section<'d> {
    /// Tells whether it occupies memory at run time.
    #[must_use]
    #[inline]
    pub const fn is_alloc(&self) -> bool {
        self.has(elf::SHF_ALLOC)
    }

    /// Tells whether it holds code.
    #[must_use]
    #[inline]
    pub const fn is_text(&self) -> bool {
        self.has(elf::SHF_EXECINSTR)
    }

    /// Tells whether the running program may change it.
    #[must_use]
    #[inline]
    pub const fn is_writable(&self) -> bool {
        self.has(elf::SHF_WRITE)
    }

    /// Tells whether it holds strings that a linker may merge.
    #[must_use]
    #[inline]
    pub const fn is_strings(&self) -> bool {
        self.has(elf::SHF_STRINGS)
    }

    /// Tells whether a linker may merge its entries.
    #[must_use]
    #[inline]
    pub const fn is_mergeable(&self) -> bool {
        self.has(elf::SHF_MERGE)
    }

    /// Tells whether it has a size and no bytes in the file.
    #[must_use]
    #[inline]
    pub const fn is_nobits(&self) -> bool {
        self.kind.0 == elf::SHT_NOBITS.0
    }

    /// Bytes `start..start + len`; `None` when not all are there.
    #[must_use]
    #[inline]
    pub fn bytes(&self, start: u64, len: u64) -> Option<&'d [u8]> {
        let first = usize::try_from(start).ok()?;
        let last = usize::try_from(start.checked_add(len)?).ok()?;
        self.data.get(first..last)
    }

    /// The string that starts at an offset, without its terminator; what is left when there is none.
    #[must_use]
    #[inline]
    pub fn string(&self, start: u64) -> Option<&'d [u8]> {
        let rest = self.data.get(usize::try_from(start).ok()?..)?;
        rest.split(|byte| *byte == 0).next()
    }

    #[inline]
    const fn has(&self, flag: SectionFlags) -> bool {
        self.flags.0 & flag.0 != 0
    }
}
