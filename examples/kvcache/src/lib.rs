//! An in-memory cache whose data lives in a memfd and outlives its process.
//!
//! | module | what it is |
//! |---|---|
//! | [`arena`] | the bytes: a memfd, mapped, fresh or inherited |
//! | [`table`] | hash index and values, both inside the arena, complete at every instant |
//! | [`resp`] | the Redis protocol, version 2 |
//! | [`commands`] | what each command does |
//! | [`server`] | the event loop, and the handle that pauses it |
//! | [`kept`] | the arena in luod's keeping |
//! | [`load`] | fills a server and verifies every byte of it |
//!
//! Whoever holds the memfd holds the cache: the next process, or the next kernel, maps it and
//! answers from it at once. Nothing is rebuilt and nothing is read in.

pub mod arena;
pub mod commands;
mod hash;
pub mod kept;
pub mod load;
pub mod resp;
pub mod server;
pub mod table;

mod size;
pub use size::{ByteSize, InvalidSize};
