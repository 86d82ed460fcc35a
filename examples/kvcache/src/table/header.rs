//! The header: making, checking and changing it.

use super::error::TableError;
use super::layout::{
    BLOCK_ALIGN, BUCKETS_AT, CHANGING, CHECKSUM_AT, CLASSES, CLEAN, FLUSHING, GENERATION_AT,
    HEAP_AT, LENGTH_AT, MAGIC, MAGIC_AT, MIN_ARENA_BYTES, SEED_AT, STATE_AT, TABLE_AT, TOP_AT,
    VERSION, VERSION_AT, buckets_for, class_bytes, free_head,
};
use super::ops::Table;
use crate::arena::Arena;
use crate::hash::siphash13;

/// What of the header never changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) seed: [u64; 2],
    pub(super) buckets: u64,
    pub(super) heap: u64,
    pub(super) len: u64,
}

impl<A: Arena> Table<A> {
    /// Makes an empty table in an arena that is all zero.
    ///
    /// # Errors
    ///
    /// When the arena is too small.
    pub fn create(arena: A, seed: [u64; 2]) -> Result<Self, TableError> {
        let len = long_enough(&arena)?;
        let buckets = buckets_for(len);
        let geometry = Geometry {
            seed,
            buckets,
            heap: TABLE_AT + 8 * buckets,
            len,
        };
        let [seed_at_0, seed_at_1] = SEED_AT;
        arena.store(TOP_AT, geometry.heap)?;
        arena.store(GENERATION_AT, 1)?;
        arena.store(VERSION_AT, VERSION)?;
        arena.store(LENGTH_AT, len)?;
        arena.store(seed_at_0, seed[0])?;
        arena.store(seed_at_1, seed[1])?;
        arena.store(BUCKETS_AT, buckets)?;
        arena.store(HEAP_AT, geometry.heap)?;
        arena.store(CHECKSUM_AT, checksum(&arena)?)?;
        // Last: without it there is no table yet.
        arena.store(MAGIC_AT, MAGIC)?;
        Ok(Self { arena, geometry })
    }

    /// Opens the table in an arena, after checking the header; an interrupted change is repaired.
    ///
    /// # Errors
    ///
    /// When there is no table, or one that cannot be right.
    pub fn open(arena: A) -> Result<Self, TableError> {
        let geometry = read_geometry(&arena)?;
        let mut table = Self { arena, geometry };
        table.check_top()?;
        match table.arena.load(STATE_AT)? {
            CLEAN => table.check_free_heads()?,
            _ => table.settle()?,
        }
        let generation = table.arena.load(GENERATION_AT)?;
        table
            .arena
            .store(GENERATION_AT, generation.wrapping_add(1))?;
        Ok(table)
    }

    /// Opens the table, or makes one when no word of the header has been written but perhaps
    /// those of a creation that was interrupted.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(arena: A, seed: [u64; 2]) -> Result<Self, TableError> {
        let len = long_enough(&arena)?;
        if arena.load(MAGIC_AT)? == 0 && never_used(&arena, len)? {
            return Self::create(arena, seed);
        }
        Self::open(arena)
    }

    /// Completes a change that was interrupted, by a kill or by an error.
    pub(super) fn settle(&mut self) -> Result<(), TableError> {
        match self.arena.load(STATE_AT)? {
            CLEAN => Ok(()),
            CHANGING => self.repair(),
            FLUSHING => self.flush(),
            value => Err(TableError::Header {
                field: "state",
                value,
            }),
        }
    }

    /// Top of the heap, checked.
    pub(super) fn check_top(&self) -> Result<u64, TableError> {
        let top = self.arena.load(TOP_AT)?;
        let Geometry { heap, len, .. } = self.geometry;
        if top < heap || top > len || !top.is_multiple_of(BLOCK_ALIGN) {
            return Err(TableError::Header {
                field: "top of the heap",
                value: top,
            });
        }
        Ok(top)
    }

    fn check_free_heads(&self) -> Result<(), TableError> {
        let top = self.check_top()?;
        for class in 0..CLASSES {
            let value = self.arena.load(free_head(class))?;
            let fits = value
                .checked_add(class_bytes(class))
                .is_some_and(|end| end <= top);
            let possible = fits && value >= self.geometry.heap && value.is_multiple_of(BLOCK_ALIGN);
            if value != 0 && !possible {
                return Err(TableError::Header {
                    field: "free list",
                    value,
                });
            }
        }
        Ok(())
    }
}

/// Size of the arena, if a table fits.
fn long_enough(arena: &impl Arena) -> Result<u64, TableError> {
    let len = arena.len();
    if len < MIN_ARENA_BYTES {
        return Err(TableError::TooSmall {
            len,
            min: MIN_ARENA_BYTES,
        });
    }
    Ok(len)
}

/// Whether buckets and free lists are as zero as in a new memfd.
///
/// A header whose magic got lost must not look like a new arena: its buckets point somewhere. The
/// whole heap need not be looked at, since a heap without buckets holds nothing.
fn never_used(arena: &impl Arena, len: u64) -> Result<bool, TableError> {
    let end = TABLE_AT + 8 * buckets_for(len);
    for offset in (free_head(0)..end).step_by(8) {
        if arena.load(offset)? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks the fixed words.
fn read_geometry(arena: &impl Arena) -> Result<Geometry, TableError> {
    let len = long_enough(arena)?;
    let magic = arena.load(MAGIC_AT)?;
    if magic != MAGIC {
        return Err(TableError::Magic { found: magic });
    }
    let version = arena.load(VERSION_AT)?;
    if version != VERSION {
        return Err(TableError::Version {
            found: version,
            supported: VERSION,
        });
    }
    let (found, computed) = (arena.load(CHECKSUM_AT)?, checksum(arena)?);
    if found != computed {
        return Err(TableError::Checksum { found, computed });
    }
    let header = |field, value| Err(TableError::Header { field, value });
    let length = arena.load(LENGTH_AT)?;
    if length != len {
        return header("length", length);
    }
    let buckets = arena.load(BUCKETS_AT)?;
    if buckets != buckets_for(len) {
        return header("number of buckets", buckets);
    }
    let heap = arena.load(HEAP_AT)?;
    if heap != TABLE_AT + 8 * buckets {
        return header("start of the heap", heap);
    }
    let [seed_at_0, seed_at_1] = SEED_AT;
    let seed = [arena.load(seed_at_0)?, arena.load(seed_at_1)?];
    Ok(Geometry {
        seed,
        buckets,
        heap,
        len,
    })
}

/// Hash of the fixed words after the magic.
fn checksum(arena: &impl Arena) -> Result<u64, TableError> {
    let mut bytes = [0; 48];
    arena.read(VERSION_AT, &mut bytes)?;
    Ok(siphash13([MAGIC, VERSION], &bytes))
}
