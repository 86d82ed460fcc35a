//! Physical addresses and sizes as types.

use core::fmt;

use kho_abi::PageSize;

/// A physical address in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// A page frame number: a physical address in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(pub u64);

/// Binary logarithm of a block's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(pub u32);

impl PhysAddr {
    /// The address `bytes` further on; `None` past the end of the address space.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Whether a page of this size starts here.
    pub const fn is_page_aligned(self, page_size: PageSize) -> bool {
        self.0.trailing_zeros() >= page_size.shift()
    }

    /// The page this address is in.
    pub const fn pfn(self, page_size: PageSize) -> Pfn {
        // A shift by less than 64, see `PageSize::shift`.
        Pfn(self.0.wrapping_shr(page_size.shift()))
    }
}

impl Pfn {
    /// The first address of the page; `None` past the end of the address space.
    pub fn addr(self, page_size: PageSize) -> Option<PhysAddr> {
        let addr = self.0.checked_shl(page_size.shift())?;
        (PhysAddr(addr).pfn(page_size) == self).then_some(PhysAddr(addr))
    }
}

impl Order {
    /// Bytes of a block of this order; `None` when no address space has as many.
    pub fn bytes(self, page_size: PageSize) -> Option<u64> {
        let shift = self.0.checked_add(page_size.shift())?;
        1_u64.checked_shl(shift)
    }

    /// Pages of a block of this order.
    pub fn pages(self) -> Option<u64> {
        1_u64.checked_shl(self.0)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_number_that_is_too_large_has_no_address() {
        let page = PageSize::Size4K;
        assert_eq!(Pfn(0x5cc).addr(page), Some(PhysAddr(0x5c_c000)));
        assert_eq!(Pfn(1 << 52).addr(page), None);
        assert_eq!(PhysAddr(0x5c_cfff).pfn(page), Pfn(0x5cc));
    }

    #[test]
    fn orders_are_sizes() {
        assert_eq!(Order(9).bytes(PageSize::Size4K), Some(2 << 20));
        assert_eq!(Order(52).bytes(PageSize::Size4K), None);
        assert_eq!(Order(64).pages(), None);
    }
}
