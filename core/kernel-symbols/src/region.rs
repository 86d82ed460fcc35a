//! Memory of an object, and where symbols end in it.

/// Memory that one object has: a symbol does not reach beyond, and an address in it belongs to no other
/// object.
///
/// For a module these are its pieces of memory (`struct module_memory`, `include/linux/module.h`,
/// v7.3), whose sizes are whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
}

impl Region {
    /// Whether an address is in it.
    #[must_use]
    pub const fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }
}

/// What a symbol ends at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The next symbol.
    Symbol,
    /// The end of the region it is in.
    Region,
    /// The end of a page: text alone does not say where a module's region ends, and regions are whole
    /// pages, so it is not before. A last function that is longer than to here is not found in its
    /// further pages.
    Page,
}

/// Pages of modules are at least this large; where they are larger, [`End::Page`] is early, never late.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The first address behind the page of `addr`; the last address there is when there is none.
pub(crate) const fn page_end(addr: u64) -> u64 {
    (addr | (PAGE_BYTES - 1)).saturating_add(1)
}
