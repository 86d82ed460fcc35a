//! Looking at every block: full verification, and repair after an interrupted change.

use super::error::TableError;
use super::layout::{
    BLOCK_ALIGN, CLASSES, CLEAN, ENTRIES_AT, HASH, Kind, LINK, MAX_CHAIN, STATE_AT, TABLE_AT,
    USED_AT, class_bytes, free_head,
};
use super::ops::Table;
use crate::arena::Arena;

/// What a look at every block counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Entries.
    pub entries: u64,
    /// Bytes of their blocks.
    pub used_bytes: u64,
    /// Blocks that are free.
    pub free_blocks: u64,
}

/// One bit for every place a block can start at.
struct Marks {
    words: Vec<u64>,
}

impl Marks {
    fn new(heap_bytes: u64) -> Self {
        let places = heap_bytes / BLOCK_ALIGN;
        let words = usize::try_from(places / 64 + 1).unwrap_or(0);
        Self {
            words: vec![0; words],
        }
    }

    fn slot(&mut self, place: u64) -> Option<(&mut u64, u64)> {
        let word = self.words.get_mut(usize::try_from(place / 64).ok()?)?;
        Some((word, 1 << (place % 64)))
    }

    /// Marks a place; whether it was not marked before.
    fn mark(&mut self, place: u64) -> bool {
        self.slot(place).is_some_and(|(word, bit)| {
            let fresh = *word & bit == 0;
            *word |= bit;
            fresh
        })
    }

    /// Removes a mark; whether there was one.
    fn unmark(&mut self, place: u64) -> bool {
        self.slot(place).is_some_and(|(word, bit)| {
            let marked = *word & bit != 0;
            *word &= !bit;
            marked
        })
    }
}

impl<A: Arena> Table<A> {
    /// Checks every entry, every block, every free list and every count.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be right.
    pub fn verify(&self) -> Result<Census, TableError> {
        let mut free = Marks::new(self.geometry.len);
        let mut census = self.census(|offset, class, kind| {
            if kind != Kind::Free {
                // A block that is neither reachable nor free is only legal during a change.
                return Err(TableError::Block {
                    offset,
                    field: "no place in the index but an entry's tag of class",
                    value: class,
                });
            }
            free.mark(offset / BLOCK_ALIGN);
            Ok(())
        })?;
        let walked = census.free_blocks;
        census.free_blocks = self.walk_free_lists(&mut free, walked)?;
        let counts = [
            ("entries", self.arena.load(ENTRIES_AT)?, census.entries),
            ("used bytes", self.arena.load(USED_AT)?, census.used_bytes),
            ("free blocks", walked, census.free_blocks),
        ];
        for (field, counted, found) in counts {
            if counted != found {
                return Err(TableError::Count {
                    field,
                    counted,
                    found,
                });
            }
        }
        Ok(census)
    }

    /// Rebuilds counters and free lists from the entries.
    pub(super) fn repair(&self) -> Result<(), TableError> {
        for class in 0..CLASSES {
            self.arena.store(free_head(class), 0)?;
        }
        let census = self.census(|offset, class, _kind| self.free(offset, class))?;
        self.arena.store(ENTRIES_AT, census.entries)?;
        self.arena.store(USED_AT, census.used_bytes)?;
        self.arena.store(STATE_AT, CLEAN)?;
        Ok(())
    }

    /// Walks all chains, then all blocks; `rest_fn` gets the blocks no chain reaches.
    fn census(
        &self,
        mut rest_fn: impl FnMut(u64, u64, Kind) -> Result<(), TableError>,
    ) -> Result<Census, TableError> {
        let mut marks = Marks::new(self.geometry.len);
        let mut census = Census::default();
        for bucket in 0..self.geometry.buckets {
            census.entries += self.mark_chain(bucket, &mut marks)?;
        }
        let top = self.check_top()?;
        let mut met = 0;
        let mut offset = self.geometry.heap;
        while offset < top {
            let (kind, class) = self.block(offset)?;
            if marks.unmark(offset / BLOCK_ALIGN) {
                met += 1;
                census.used_bytes += class_bytes(class);
            } else {
                census.free_blocks += 1;
                rest_fn(offset, class, kind)?;
            }
            offset += class_bytes(class);
        }
        // An entry inside another block is reached by its chain and not by this walk.
        if met != census.entries {
            return Err(TableError::Count {
                field: "entries in blocks",
                counted: census.entries,
                found: met,
            });
        }
        Ok(census)
    }

    /// Marks the entries of one chain and returns their number.
    fn mark_chain(&self, bucket: u64, marks: &mut Marks) -> Result<u64, TableError> {
        let mut offset = self.arena.load(TABLE_AT + 8 * bucket)?;
        for count in 0..=MAX_CHAIN {
            if offset == 0 {
                return Ok(u64::from(count));
            }
            let entry = self.entry(offset)?;
            let hash = self.arena.load(offset + HASH)?;
            if self.bucket_of(hash) != bucket || hash != self.stored_key_hash(&entry)? {
                return Err(TableError::Block {
                    offset,
                    field: "a hash not of its key and bucket,",
                    value: hash,
                });
            }
            if !marks.mark(offset / BLOCK_ALIGN) {
                return Err(TableError::Block {
                    offset,
                    field: "two places in the index, one in bucket",
                    value: bucket,
                });
            }
            offset = self.arena.load(offset + LINK)?;
        }
        Err(TableError::Chain {
            bucket,
            limit: MAX_CHAIN,
        })
    }

    /// Counts the blocks of the free lists, each of which must be marked, once.
    fn walk_free_lists(&self, free: &mut Marks, limit: u64) -> Result<u64, TableError> {
        let mut count = 0;
        for class in 0..CLASSES {
            let mut offset = self.arena.load(free_head(class))?;
            while offset != 0 {
                let known = free.unmark(offset / BLOCK_ALIGN);
                if self.block(offset)? != (Kind::Free, class) || !known || count >= limit {
                    return Err(TableError::Block {
                        offset,
                        field: "a wrong place in the free list of class",
                        value: class,
                    });
                }
                count += 1;
                offset = self.arena.load(offset + LINK)?;
            }
        }
        Ok(count)
    }
}
