//! A shared mapping of a sealed memfd with safe access: [`SharedMap`].
//!
//! The memory is a sequence of 64-bit words. Bytes are copied a word at a time.

mod shared_map;

pub use shared_map::{OutOfRange, SharedMap};
