//! [`Table`]: looking up, storing, deleting.

use super::alloc::{Entry, as_u64};
use super::error::TableError;
use super::header::Geometry;
use super::layout::{
    CHANGING, CLASSES, CLEAN, ENTRIES_AT, FLUSHING, GENERATION_AT, HASH, KEY, LENGTHS, LINK,
    MAX_CHAIN, MAX_KEY_BYTES, MAX_VALUE_BYTES, STATE_AT, TABLE_AT, TOP_AT, USED_AT, class_bytes,
    class_of, free_head, padded,
};
use crate::arena::Arena;
use crate::hash::siphash13;

/// A hash table inside an arena.
#[derive(Debug)]
pub struct Table<A> {
    pub(super) arena: A,
    pub(super) geometry: Geometry,
}

/// Where a value is; good until the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    offset: u64,
    len: usize,
}

impl Value {
    /// Bytes of the value.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Outcome of [`Table::set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storing {
    /// The value is stored.
    Stored,
    /// No block is left for it; nothing changed.
    Full,
    /// Key or value is longer than the table takes; nothing changed.
    TooLong,
}

/// Outcome of [`Table::delete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The key is gone.
    Deleted,
    /// There was none.
    Absent,
}

/// An entry, and the word that points to it.
struct Found {
    link_at: u64,
    entry: Entry,
}

impl<A: Arena> Table<A> {
    /// Finds the value of a key.
    ///
    /// # Errors
    ///
    /// When the chain of the key is corrupt.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, TableError> {
        let found = self.find(key, self.hash(key))?;
        Ok(found.map(|found| Value {
            offset: found.entry.value_at(),
            len: found.entry.value_len,
        }))
    }

    /// Appends a value's bytes to `bytes`.
    ///
    /// # Errors
    ///
    /// When they are not inside the arena, which a value of [`get`](Self::get) always is.
    pub fn append_value(&self, value: Value, bytes: &mut Vec<u8>) -> Result<(), TableError> {
        let start = bytes.len();
        bytes.resize(start + value.len, 0);
        if let Some(target) = bytes.get_mut(start..) {
            self.arena.read(value.offset, target)?;
        }
        Ok(())
    }

    /// Stores a value. The old value of the key, if any, stays until the new one is complete, so
    /// both need memory for a moment.
    ///
    /// # Errors
    ///
    /// When what the change meets is corrupt; the next change repairs counters and free lists.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<Storing, TableError> {
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Ok(Storing::TooLong);
        }
        let (key_len, value_len) = (as_u64(key.len()), as_u64(value.len()));
        let Some(class) = class_of(KEY + padded(key_len) + value_len) else {
            return Ok(Storing::TooLong);
        };
        self.settle()?;
        let hash = self.hash(key);
        let found = self.find(key, hash)?;
        self.arena.store(STATE_AT, CHANGING)?;
        let Some((block, class)) = self.allocate(class)? else {
            self.arena.store(STATE_AT, CLEAN)?;
            return Ok(Storing::Full);
        };
        let bucket_at = self.bucket_at(hash);
        let (link_at, next) = match &found {
            Some(old) => (old.link_at, self.arena.load(old.entry.offset + LINK)?),
            None => (bucket_at, self.arena.load(bucket_at)?),
        };
        self.arena.store(block + LINK, next)?;
        self.arena.store(block + HASH, hash)?;
        self.arena
            .store(block + LENGTHS, value_len << 32 | key_len)?;
        self.arena.write(block + KEY, key)?;
        self.arena.write(block + KEY + padded(key_len), value)?;
        // The one store that makes it visible.
        self.arena.store(link_at, block)?;
        self.add(USED_AT, class_bytes(class))?;
        match found {
            Some(old) => self.release(&old.entry)?,
            None => self.add(ENTRIES_AT, 1)?,
        }
        self.arena.store(STATE_AT, CLEAN)?;
        Ok(Storing::Stored)
    }

    /// Deletes a key.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub fn delete(&mut self, key: &[u8]) -> Result<Deletion, TableError> {
        self.settle()?;
        let Some(found) = self.find(key, self.hash(key))? else {
            return Ok(Deletion::Absent);
        };
        let next = self.arena.load(found.entry.offset + LINK)?;
        self.arena.store(STATE_AT, CHANGING)?;
        // The one store that makes it invisible.
        self.arena.store(found.link_at, next)?;
        self.release(&found.entry)?;
        self.add(ENTRIES_AT, u64::MAX)?;
        self.arena.store(STATE_AT, CLEAN)?;
        Ok(Deletion::Deleted)
    }

    /// Deletes everything. Interrupted, it is completed by the next open.
    ///
    /// # Errors
    ///
    /// Never in an arena that is as long as it says.
    pub fn flush(&mut self) -> Result<(), TableError> {
        self.arena.store(STATE_AT, FLUSHING)?;
        let zeros = [0; 4096];
        let mut offset = TABLE_AT;
        while offset < self.geometry.heap {
            let len = usize::try_from(self.geometry.heap - offset).unwrap_or(zeros.len());
            let chunk = zeros.get(..len.min(zeros.len())).unwrap_or(&zeros);
            self.arena.write(offset, chunk)?;
            offset += as_u64(chunk.len());
        }
        for class in 0..CLASSES {
            self.arena.store(free_head(class), 0)?;
        }
        self.arena.store(TOP_AT, self.geometry.heap)?;
        self.arena.store(ENTRIES_AT, 0)?;
        self.arena.store(USED_AT, 0)?;
        self.arena.store(STATE_AT, CLEAN)?;
        Ok(())
    }

    /// Number of keys.
    ///
    /// # Errors
    ///
    /// Never in an arena that is as long as it says.
    pub fn entries(&self) -> Result<u64, TableError> {
        Ok(self.arena.load(ENTRIES_AT)?)
    }

    /// Bytes of the blocks that hold entries.
    ///
    /// # Errors
    ///
    /// Never in an arena that is as long as it says.
    pub fn used_bytes(&self) -> Result<u64, TableError> {
        Ok(self.arena.load(USED_AT)?)
    }

    /// Times the table has been opened, its creation included.
    ///
    /// # Errors
    ///
    /// Never in an arena that is as long as it says.
    pub fn generation(&self) -> Result<u64, TableError> {
        Ok(self.arena.load(GENERATION_AT)?)
    }

    /// Bytes of the arena.
    #[must_use]
    pub const fn arena_bytes(&self) -> u64 {
        self.geometry.len
    }

    /// Gives the arena back.
    #[must_use]
    pub fn into_arena(self) -> A {
        self.arena
    }

    fn hash(&self, key: &[u8]) -> u64 {
        siphash13(self.geometry.seed, key)
    }

    /// Hash of the key an entry holds.
    pub(super) fn stored_key_hash(&self, entry: &Entry) -> Result<u64, TableError> {
        let mut key = vec![0; entry.key_len];
        self.arena.read(entry.offset + KEY, &mut key)?;
        Ok(self.hash(&key))
    }

    pub(super) const fn bucket_of(&self, hash: u64) -> u64 {
        hash & (self.geometry.buckets - 1)
    }

    const fn bucket_at(&self, hash: u64) -> u64 {
        TABLE_AT + 8 * self.bucket_of(hash)
    }

    fn find(&self, key: &[u8], hash: u64) -> Result<Option<Found>, TableError> {
        let mut link_at = self.bucket_at(hash);
        for _ in 0..MAX_CHAIN {
            let offset = self.arena.load(link_at)?;
            if offset == 0 {
                return Ok(None);
            }
            let entry = self.entry(offset)?;
            if entry.key_len == key.len()
                && self.arena.load(offset + HASH)? == hash
                && self.key_is(offset + KEY, key)?
            {
                return Ok(Some(Found { link_at, entry }));
            }
            link_at = offset + LINK;
        }
        Err(TableError::Chain {
            bucket: self.bucket_of(hash),
            limit: MAX_CHAIN,
        })
    }

    /// Whether the stored bytes at `offset` are `key`.
    fn key_is(&self, mut offset: u64, key: &[u8]) -> Result<bool, TableError> {
        let mut stored = [0; 64];
        for part in key.chunks(stored.len()) {
            let Some(stored) = stored.get_mut(..part.len()) else {
                return Ok(false);
            };
            self.arena.read(offset, stored)?;
            if stored != part {
                return Ok(false);
            }
            offset += as_u64(part.len());
        }
        Ok(true)
    }

    /// Gives back the block of an entry nothing points to.
    fn release(&self, entry: &Entry) -> Result<(), TableError> {
        self.free(entry.offset, entry.class)?;
        self.add(USED_AT, class_bytes(entry.class).wrapping_neg())
    }

    /// Adds to a counter; to subtract, add the two's complement.
    fn add(&self, at: u64, value: u64) -> Result<(), TableError> {
        let old = self.arena.load(at)?;
        self.arena.store(at, old.wrapping_add(value))?;
        Ok(())
    }
}
