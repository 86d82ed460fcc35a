//! The C interface of the crate `liveupdate`, as `include/liveupdate.h` has it.
//!
//! * [`interface`]: every function of the header, none of which does more than call the crate;
//! * [`layout`]: its structures and constants;
//! * [`failure`]: what became of a call: a negative errno, and the words for it.
//!
//! Programs link `libliveupdate.so.0` or `libliveupdate.a`, not this crate.

pub mod failure;
pub mod interface;
pub mod layout;
