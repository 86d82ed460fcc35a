//! Physical memory from an address up to another.

use kho::PhysAddr;

/// Bytes from `start` up to, but not with, `end`; never longer than the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    /// `None` past the end of the address space.
    pub(crate) const fn new(addr: PhysAddr, bytes: u64) -> Option<Self> {
        match addr.0.checked_add(bytes) {
            Some(end) => Some(Self { start: addr.0, end }),
            None => None,
        }
    }

    pub(crate) const fn bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// Page size of x86 in bytes.
pub(crate) const PAGE: u64 = 4096;

pub(crate) const fn page_up(bytes: u64) -> u64 {
    align_up(bytes, PAGE)
}

/// The next multiple of `alignment`, a power of two; saturates at the end of the address space.
pub(crate) const fn align_up(value: u64, alignment: u64) -> u64 {
    let mask = alignment.saturating_sub(1);
    value.saturating_add(mask) & !mask
}

/// A length, which on every machine with this crate fits in 64 bits.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
