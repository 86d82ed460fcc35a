//! Names, and where they end.

use core::fmt;

/// A name: bytes without NUL. The kernel does not care for their encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'t>(&'t [u8]);

impl<'t> Name<'t> {
    /// A name of these bytes.
    #[must_use]
    pub const fn new(bytes: &'t [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'t [u8] {
        self.0
    }

    /// The same as text, unless it is none.
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        core::str::from_utf8(self.0).ok()
    }
}

impl<'t> From<&'t str> for Name<'t> {
    fn from(text: &'t str) -> Self {
        Self(text.as_bytes())
    }
}

impl PartialEq<str> for Name<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Name<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.pad(text),
            None => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Whether the kernel takes a module's symbol for a mark in code or data, which no address is in: `.L…`,
/// `L0…` and `$…` (`include/linux/module_symbol.h`, v7.3).
#[must_use]
pub fn is_mapping_symbol(name: &[u8]) -> bool {
    matches!(name, [b'.', b'L', ..] | [b'L', b'0', ..] | [b'$', ..])
}

/// What ends a name in the bytes it is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// NUL: a string table.
    Nul,
    /// Anything not above a blank: lines of text.
    Blank,
}

impl Ending {
    const fn least_byte(self) -> u64 {
        match self {
            Self::Nul => 1,
            Self::Blank => 0x21,
        }
    }

    /// Length in bytes of the name at the start of `bytes`.
    ///
    /// Four words at a time, as most names are shorter than that: where a name ends cannot be foreseen, and a processor
    /// that guesses it wrongly loses more than this takes.
    #[inline]
    pub(crate) fn length(self, bytes: &[u8]) -> usize {
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<4>();
        let mut done = 0_usize;
        for block in blocks {
            let ends = block.map(|word| u32::from(self.ends(word)));
            let ends = ends[0] | ends[1] << 8 | ends[2] << 16 | ends[3] << 24;
            if ends != 0 {
                return done.saturating_add(zeros(ends));
            }
            done = done.saturating_add(32);
        }
        for word in words {
            let ends = self.ends(*word);
            if ends != 0 {
                return done.saturating_add(zeros(ends.into()));
            }
            done = done.saturating_add(8);
        }
        let least = self.least_byte();
        let end = rest.iter().position(|&byte| u64::from(byte) < least);
        done.saturating_add(end.unwrap_or(rest.len()))
    }

    /// A bit for each byte, from the lowest on: the lowest that is set is that of the first byte that ends a name.
    /// What is above it means nothing.
    #[inline]
    fn ends(self, word: [u8; 8]) -> u8 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        /// Moves the lowest bit of each byte to the highest byte, each to its own place.
        const GATHER: u64 = 0x0102_0408_1020_4080;
        // A byte below `least` borrows into its own highest bit; the first such bit is exact.
        let word = u64::from_le_bytes(word);
        let below = word.wrapping_sub(ONES.wrapping_mul(self.least_byte())) & !word;
        let [.., gathered] = (below >> 7 & ONES).wrapping_mul(GATHER).to_le_bytes();
        gathered
    }
}

#[inline]
fn zeros(bits: u32) -> usize {
    usize::try_from(bits.trailing_zeros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mapping_symbols_are_those_of_the_kernel() {
        for name in ["$d", "$x.0", "$", ".L123", ".LC0", "L0", "L0\u{1}x"] {
            assert!(is_mapping_symbol(name.as_bytes()), "{name}");
        }
        for name in ["", ".", "L", "L1", ".text", "foo$", "_L0"] {
            assert!(!is_mapping_symbol(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_that_are_no_text_can_be_shown() {
        let name = Name::new(b"a\xffb");
        assert_eq!(std::format!("{name}"), "a\\xffb");
        assert_eq!(name.as_str(), None);
    }

    proptest! {
        #[test]
        fn a_name_ends_where_a_slow_search_finds_its_end(bytes: Vec<u8>) {
            let slow = |least: u8| bytes.iter().position(|&byte| byte < least).unwrap_or(bytes.len());
            prop_assert_eq!(Ending::Nul.length(&bytes), slow(1));
            prop_assert_eq!(Ending::Blank.length(&bytes), slow(0x21));
        }
    }
}
