//! Hash index and values inside an arena, complete at every instant.
//!
//! The index is an array of buckets, each the offset of a chain of entries. An entry is written
//! whole, then published by one store of its offset; replacing and deleting are one such store
//! too. A process killed between any two instructions leaves a table in which every key is either
//! before or after the change it was in. What the change had not reached, counters and free
//! lists, is told by a state word and rebuilt from the entries at the next open.
//!
//! Everything read is checked first: an offset outside, a length too long or a chain too long is
//! a [`TableError`], whoever wrote it. Opening reads the header only; entries are checked when
//! they are used.

mod alloc;
mod census;
mod error;
mod header;
mod layout;
mod ops;

pub use census::Census;
pub use error::TableError;
pub use layout::{MAX_KEY_BYTES, MAX_VALUE_BYTES, MIN_ARENA_BYTES};
pub use ops::{Deletion, Storing, Table, Value};

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
