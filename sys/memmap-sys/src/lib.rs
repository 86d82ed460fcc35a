//! Memory of files with safe access.
//!
//! * [`SharedMap`]: a shared, writable mapping of a sealed memfd, as a sequence of 64-bit words; bytes are copied a word
//!   at a time;
//! * [`FileMap`]: a read-only mapping of a file as a slice, for as long as nobody writes the file;
//! * [`FileBytes`]: that, or a copy of a file that cannot be mapped.

mod file_bytes;
mod file_map;
mod shared_map;

pub use file_bytes::FileBytes;
pub use file_map::FileMap;
pub use shared_map::{OutOfRange, SharedMap};
