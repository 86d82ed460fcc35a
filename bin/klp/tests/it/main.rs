//! The program on objects that the compiler of this machine makes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

mod checksum;
mod compile;
mod diff;
mod kpatch_objects;
mod module;
mod objtool;
mod show;
mod verify;
