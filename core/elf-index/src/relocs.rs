//! Relocations of a section, by ascending offset.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use object::Endianness;
use object::elf::Rela64;

use crate::symbol::SymbolId;

/// A relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Offset in the section it applies to.
    pub offset: u64,
    /// What it refers to; symbol 0 is none.
    pub symbol: SymbolId,
    /// Type of the architecture.
    pub kind: u32,
    /// What is added.
    pub addend: i64,
}

/// The relocations of a section by ascending offset; those of one offset keep their order.
#[derive(Clone, Copy, Debug)]
pub struct Relocs<'a> {
    entries: &'a [Rela64<Endianness>],
    endian: Endianness,
}

impl<'a> Relocs<'a> {
    /// Of no section.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            entries: &[],
            endian: Endianness::Little,
        }
    }

    pub(crate) const fn in_file(entries: &'a [Rela64<Endianness>], endian: Endianness) -> Self {
        Self { entries, endian }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those at offsets of a range.
    #[must_use]
    #[inline]
    pub fn within(self, range: Range<u64>) -> Self {
        let offset_of = |entry: &Rela64<Endianness>| entry.r_offset.get(self.endian);
        let first = self
            .entries
            .partition_point(|entry| offset_of(entry) < range.start);
        let rest = self.entries.get(first..).unwrap_or_default();
        let count = rest.partition_point(|entry| offset_of(entry) < range.end);
        Self {
            entries: rest.get(..count).unwrap_or_default(),
            endian: self.endian,
        }
    }

    /// Takes those in front that are at offsets below `end`: for a walk that meets each once.
    #[must_use]
    #[inline]
    pub fn take_below(&mut self, end: u64) -> Self {
        let is_below = |entry: &&Rela64<Endianness>| entry.r_offset.get(self.endian) < end;
        let count = self.entries.iter().take_while(is_below).count();
        let (taken, left) = self.entries.split_at_checked(count).unwrap_or_default();
        self.entries = left;
        Self {
            entries: taken,
            endian: self.endian,
        }
    }

    /// Every one.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Reloc> + DoubleEndedIterator + use<'a> {
        let endian = self.endian;
        self.entries.iter().map(move |entry| decode(entry, endian))
    }

    /// The first.
    #[must_use]
    #[inline]
    pub fn first(self) -> Option<Reloc> {
        self.entries.first().map(|entry| decode(entry, self.endian))
    }
}

#[inline]
fn decode(entry: &Rela64<Endianness>, endian: Endianness) -> Reloc {
    let info = entry.r_info.get(endian);
    let [high, low] = [info >> 32, info & 0xffff_ffff];
    Reloc {
        offset: entry.r_offset.get(endian),
        symbol: SymbolId(u32::try_from(high).unwrap_or(0)),
        kind: u32::try_from(low).unwrap_or(0),
        addend: entry.r_addend.get(endian),
    }
}

/// A relocation section: as it is in the file when its offsets ascend there, else a sorted copy.
#[derive(Clone, Debug)]
pub(crate) enum RelocTable<'d> {
    None,
    InFile(&'d [Rela64<Endianness>]),
    Sorted(Box<[Rela64<Endianness>]>),
}

impl<'d> RelocTable<'d> {
    pub(crate) fn new(entries: &'d [Rela64<Endianness>], endian: Endianness) -> Self {
        let offset_of = |entry: &Rela64<Endianness>| entry.r_offset.get(endian);
        if entries.is_sorted_by_key(offset_of) {
            return Self::InFile(entries);
        }
        // GCC emits those of a function with a jump table out of order.
        let mut sorted = Vec::from(entries);
        sorted.sort_by_key(offset_of);
        Self::Sorted(sorted.into_boxed_slice())
    }

    #[inline]
    pub(crate) fn relocs(&self, endian: Endianness) -> Relocs<'_> {
        let entries = match self {
            Self::None => &[],
            Self::InFile(entries) => *entries,
            Self::Sorted(entries) => entries,
        };
        Relocs { entries, endian }
    }
}
