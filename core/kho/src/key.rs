//! Keys of the memory map: where a block is and how large, in one word.

use kho_abi::PageSize;

use crate::phys::{Order, PhysAddr};

/// A key: the block's number among those of its order, below one bit that tells the order
/// (`kho_encode_radix_key`, `kernel/liveupdate/kexec_handover.c`, v7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// What is no key, or no block that a key can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The block does not start at a multiple of its size: the key would name another one.
    #[error("a block of order {} cannot start at {addr}", order.0)]
    Misaligned {
        /// Where it should start.
        addr: PhysAddr,
        /// How large it should be.
        order: Order,
    },
    /// No block is as large.
    #[error("no block has order {}", order.0)]
    Order {
        /// The order asked for.
        order: Order,
    },
    /// The word is wider than a key; the kernel answers `ERANGE`.
    #[error("{word:#x} is wider than a key ({width} bits)")]
    Wide {
        /// The word.
        word: u64,
        /// Most bits of a key.
        width: u32,
    },
    /// The word has no order bit.
    #[error("{word:#x} has no order bit")]
    NoOrder {
        /// The word.
        word: u64,
    },
}

impl Key {
    /// The key of a block.
    ///
    /// # Errors
    /// [`KeyError::Misaligned`] and [`KeyError::Order`].
    pub fn new(addr: PhysAddr, order: Order, page_size: PageSize) -> Result<Self, KeyError> {
        let wrong_order = KeyError::Order { order };
        let shift = order.0.checked_add(page_size.shift()).ok_or(wrong_order)?;
        let bit = 64_u32
            .checked_sub(shift)
            .and_then(|bit| 1_u64.checked_shl(bit));
        let bit = bit.ok_or(wrong_order)?;
        if addr.0.trailing_zeros() < shift {
            return Err(KeyError::Misaligned { addr, order });
        }
        let number = addr.0.checked_shr(shift).ok_or(wrong_order)?;
        Ok(Self(bit | number))
    }

    /// A word from a tree.
    ///
    /// # Errors
    /// [`KeyError::Wide`] and [`KeyError::NoOrder`]; the kernel checks neither.
    pub fn from_word(word: u64, page_size: PageSize) -> Result<Self, KeyError> {
        let width = page_size.radix_key_width();
        if word == 0 {
            return Err(KeyError::NoOrder { word });
        }
        if 64_u32.saturating_sub(word.leading_zeros()) > width {
            return Err(KeyError::Wide { word, width });
        }
        Ok(Self(word))
    }

    /// The word.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The block.
    pub fn block(self, page_size: PageSize) -> (PhysAddr, Order) {
        // The highest bit is the order bit; there is one, and it is at most 64 - PAGE_SHIFT.
        let high = 63_u32.saturating_sub(self.0.leading_zeros());
        let shift = 64_u32.saturating_sub(high);
        let order = Order(shift.saturating_sub(page_size.shift()));
        // The order bit leaves at the top. A shift of 64 is that of the order bit alone at bit 0:
        // the block at 0 that is the whole address space.
        (PhysAddr(self.0.checked_shl(shift).unwrap_or(0)), order)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seen in a handover of 7.3.4, or computed by hand from the formula.
    const KNOWN: [(PageSize, u64, u32, u64); 10] = [
        (PageSize::Size4K, 0x5c_c000, 0, 0x0010_0000_0000_05cc),
        (PageSize::Size4K, 0x1_0000_0000, 0, 0x0010_0000_0010_0000),
        (PageSize::Size4K, 0x123_4567_8000, 0, 0x0010_0000_1234_5678),
        (PageSize::Size4K, 0x2000, 1, 0x0008_0000_0000_0001),
        (PageSize::Size4K, 0x1ec0_0000, 9, 0x0000_0800_0000_00f6),
        (PageSize::Size4K, 0x40_0000, 10, 0x0000_0400_0000_0001),
        (PageSize::Size4K, 0x4000_0000, 18, 0x4_0000_0001),
        (PageSize::Size16K, 0x1_0000_0000, 0, 0x0004_0000_0004_0000),
        (PageSize::Size64K, 0x1_0000_0000, 0, 0x0001_0000_0001_0000),
        (PageSize::Size64K, 0x2000_0000, 13, 0x8_0000_0001),
    ];

    #[test]
    fn known_blocks_have_their_known_keys() {
        for (page_size, addr, order, word) in KNOWN {
            let (addr, order) = (PhysAddr(addr), Order(order));
            let key = Key::new(addr, order, page_size).unwrap();
            assert_eq!(key.word(), word, "{addr} {order:?}");
            assert_eq!(key.block(page_size), (addr, order));
        }
    }

    #[test]
    fn what_names_no_block_is_refused() {
        let page = PageSize::Size4K;
        assert!(matches!(
            Key::new(PhysAddr(0x1000), Order(1), page),
            Err(KeyError::Misaligned { .. })
        ));
        assert!(matches!(
            Key::new(PhysAddr(0), Order(53), page),
            Err(KeyError::Order { .. })
        ));
        assert!(matches!(
            Key::from_word(0, page),
            Err(KeyError::NoOrder { word: 0 })
        ));
        assert!(matches!(
            Key::from_word(1 << 53, page),
            Err(KeyError::Wide { width: 53, .. })
        ));
    }

    proptest! {
        #[test]
        fn every_word_that_is_a_key_names_the_block_with_that_key(word in any::<u64>()) {
            for page_size in PageSize::ALL {
                if let Ok(key) = Key::from_word(word, page_size) {
                    let (addr, order) = key.block(page_size);
                    prop_assert_eq!(Key::new(addr, order, page_size), Ok(key));
                }
            }
        }
    }
}
