//! `fork(2)`, where it is sound: in a process with one thread.
//!
//! A copy of a running program starts at once; a new program has to be read, mapped and started
//! first. After a jump to another kernel that time is part of the blackout.

mod fork;

pub use fork::{Side, fork};
