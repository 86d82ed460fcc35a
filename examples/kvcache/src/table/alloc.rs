//! Blocks: taking, giving back and checking them.

use super::error::TableError;
use super::layout::{
    BLOCK_ALIGN, CLASSES, KEY, Kind, LENGTHS, LINK, MAX_KEY_BYTES, MAX_VALUE_BYTES, TOP_AT,
    class_bytes, free_head, padded, parse_tag, tag,
};
use super::ops::Table;
use crate::arena::Arena;

/// A block in use, checked: all of it is inside the heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) class: u64,
    pub(super) key_len: usize,
    pub(super) value_len: usize,
}

impl Entry {
    /// Offset of the value.
    pub(super) fn value_at(&self) -> u64 {
        self.offset + KEY + padded(as_u64(self.key_len))
    }
}

/// Lengths are below 2^32 throughout.
pub(super) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl<A: Arena> Table<A> {
    /// Takes a block of `class`, or a larger one when no memory is left; `None` when full.
    pub(super) fn allocate(&self, class: u64) -> Result<Option<(u64, u64)>, TableError> {
        if let Some(block) = self.take_free(class)? {
            return Ok(Some((block, class)));
        }
        let top = self.check_top()?;
        let end = top + class_bytes(class);
        if end <= self.geometry.len {
            // The tag first: everything below the top is a block.
            self.arena.store(top, tag(Kind::Entry, class))?;
            self.arena.store(TOP_AT, end)?;
            return Ok(Some((top, class)));
        }
        for larger in class + 1..CLASSES {
            if let Some(block) = self.take_free(larger)? {
                return Ok(Some((block, larger)));
            }
        }
        Ok(None)
    }

    fn take_free(&self, class: u64) -> Result<Option<u64>, TableError> {
        let block = self.arena.load(free_head(class))?;
        if block == 0 {
            return Ok(None);
        }
        if self.block(block)? != (Kind::Free, class) {
            return Err(TableError::Block {
                offset: block,
                field: "a place in a free list but tag",
                value: self.arena.load(block)?,
            });
        }
        let next = self.arena.load(block + LINK)?;
        self.arena.store(free_head(class), next)?;
        self.arena.store(block, tag(Kind::Entry, class))?;
        Ok(Some(block))
    }

    /// Gives a block back; nothing points to it any more.
    pub(super) fn free(&self, block: u64, class: u64) -> Result<(), TableError> {
        self.arena.store(block, tag(Kind::Free, class))?;
        let head = self.arena.load(free_head(class))?;
        self.arena.store(block + LINK, head)?;
        self.arena.store(free_head(class), block)?;
        Ok(())
    }

    /// Checks that a block starts at `offset` and ends inside the heap.
    #[inline]
    pub(super) fn block(&self, offset: u64) -> Result<(Kind, u64), TableError> {
        let bad = |field, value| TableError::Block {
            offset,
            field,
            value,
        };
        let top = self.arena.load(TOP_AT)?.min(self.geometry.len);
        if offset < self.geometry.heap || offset >= top || !offset.is_multiple_of(BLOCK_ALIGN) {
            return Err(bad("an offset outside of the heap, whose top is", top));
        }
        let word = self.arena.load(offset)?;
        let (kind, class) = parse_tag(word).ok_or_else(|| bad("tag", word))?;
        if class_bytes(class) > top - offset {
            return Err(bad("a size beyond the top, tag", word));
        }
        Ok((kind, class))
    }

    /// Checks the entry at `offset`.
    #[inline]
    pub(super) fn entry(&self, offset: u64) -> Result<Entry, TableError> {
        let (kind, class) = self.block(offset)?;
        let bad = |field, value| TableError::Block {
            offset,
            field,
            value,
        };
        if kind != Kind::Entry {
            return Err(bad("a place in the index but free tag of class", class));
        }
        let lengths = self.arena.load(offset + LENGTHS)?;
        let key_len = lengths & 0xffff_ffff;
        let value_len = lengths >> 32;
        let fits = KEY + padded(key_len) + value_len <= class_bytes(class);
        if !fits || key_len > as_u64(MAX_KEY_BYTES) || value_len > as_u64(MAX_VALUE_BYTES) {
            return Err(bad("lengths", lengths));
        }
        let short = |len| usize::try_from(len).map_err(|_too_long| bad("lengths", lengths));
        Ok(Entry {
            offset,
            class,
            key_len: short(key_len)?,
            value_len: short(value_len)?,
        })
    }
}
