//! Where things are in an arena, version 1. All words are 64 bits, in the machine's byte order.
//!
//! ```text
//! 0      fixed words: magic, version, length, seed, buckets, start of the heap, checksum
//! 64     words that change: state, entries, used bytes, top of the heap, generation
//! 128    heads of the free lists, one for each size class
//! 4096   buckets: offset of the first entry, or 0
//! heap   blocks without gaps up to the top
//! ```
//!
//! A block is a tag word, a link word (next in its chain, or in its free list), then the hash,
//! the lengths (key low, value high half), the key filled up to 8 bytes, and the value.

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 64 << 10;
/// Longest value in bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// Smallest arena in bytes.
pub const MIN_ARENA_BYTES: u64 = 16 << 10;

/// First word of every arena: `kvcache` and a NUL. It never changes.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"kvcache\0");
/// This layout.
pub(super) const VERSION: u64 = 1;

pub(super) const MAGIC_AT: u64 = 0;
pub(super) const VERSION_AT: u64 = 8;
pub(super) const LENGTH_AT: u64 = 16;
pub(super) const SEED_AT: [u64; 2] = [24, 32];
/// Number of buckets, a power of two.
pub(super) const BUCKETS_AT: u64 = 40;
/// Offset of the heap.
pub(super) const HEAP_AT: u64 = 48;
/// Hash of the fixed words before it.
pub(super) const CHECKSUM_AT: u64 = 56;

pub(super) const STATE_AT: u64 = 64;
pub(super) const ENTRIES_AT: u64 = 72;
/// Bytes of the blocks that hold entries.
pub(super) const USED_AT: u64 = 80;
/// End of the blocks; what is above has never been used.
pub(super) const TOP_AT: u64 = 88;
/// Times the table was opened, creation included.
pub(super) const GENERATION_AT: u64 = 96;
pub(super) const FREE_AT: u64 = 128;
/// End of the header, start of the buckets.
pub(super) const TABLE_AT: u64 = 4096;

/// Nothing is being changed.
pub(super) const CLEAN: u64 = 0;
/// An entry is being changed: counters and free lists are not to be trusted.
pub(super) const CHANGING: u64 = 1;
/// Everything is being dropped: the rest has to go too.
pub(super) const FLUSHING: u64 = 2;

/// Words of a block, from its start.
pub(super) const LINK: u64 = 8;
pub(super) const HASH: u64 = 16;
pub(super) const LENGTHS: u64 = 24;
pub(super) const KEY: u64 = 32;
/// Blocks start at multiples of this.
pub(super) const BLOCK_ALIGN: u64 = 16;
/// Longest chain; with a keyed hash a table of this geometry does not get near it.
pub(super) const MAX_CHAIN: u32 = 1024;

/// Size classes: four for each doubling, 64 bytes to 28 MiB.
pub(super) const CLASSES: u64 = 76;

/// Bytes of a block of `class`: 64, 80, 96, 112, 128, 160, ...
pub(super) const fn class_bytes(class: u64) -> u64 {
    (4 + class % 4) << (4 + class / 4)
}

/// Smallest class whose blocks have `bytes`.
pub(super) const fn class_of(bytes: u64) -> Option<u64> {
    if bytes <= 64 {
        return Some(0);
    }
    // Doublings above 64 bytes, counted in a loop: a constant function has no lossless cast.
    let mut group = 0;
    while bytes > 112 << group {
        group += 1;
    }
    let class = (4 * group + bytes.div_ceil(16 << group)).saturating_sub(4);
    if class < CLASSES { Some(class) } else { None }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Free,
    Entry,
}

const TAG_FREE: u64 = 0x6b76_6672_6565_0000;
const TAG_ENTRY: u64 = 0x6b76_6974_656d_0000;

/// Tag word of a block.
pub(super) const fn tag(kind: Kind, class: u64) -> u64 {
    match kind {
        Kind::Free => TAG_FREE | class,
        Kind::Entry => TAG_ENTRY | class,
    }
}

/// Reads a tag word; `None` when it is none.
pub(super) const fn parse_tag(word: u64) -> Option<(Kind, u64)> {
    let class = word & 0xffff;
    if class >= CLASSES {
        return None;
    }
    match word & !0xffff {
        TAG_FREE => Some((Kind::Free, class)),
        TAG_ENTRY => Some((Kind::Entry, class)),
        _ => None,
    }
}

/// Offset of the free list's head of `class`.
pub(super) const fn free_head(class: u64) -> u64 {
    FREE_AT + 8 * class
}

/// Bytes of a key as stored.
pub(super) const fn padded(key_len: u64) -> u64 {
    key_len.next_multiple_of(8)
}

/// Number of buckets of an arena: one for about 256 bytes.
pub(super) const fn buckets_for(len: u64) -> u64 {
    let wanted = len / 256;
    1 << wanted.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for bytes in (0..5000).chain([1 << 20, (1 << 20) + 1, 20 << 20]) {
            let class = class_of(bytes).unwrap();
            assert!(class_bytes(class) >= bytes, "{bytes}");
            assert!(class == 0 || class_bytes(class - 1) < bytes, "{bytes}");
            assert!(class_bytes(class).is_multiple_of(BLOCK_ALIGN));
        }
        let largest = KEY + padded(64 << 10) + (16 << 20);
        assert!(class_of(largest).is_some());
        assert_eq!(class_of(class_bytes(CLASSES - 1) + 1), None);
    }

    #[test]
    fn heads_of_the_free_lists_fit_in_the_header() {
        assert!(free_head(CLASSES) <= TABLE_AT);
    }
}
