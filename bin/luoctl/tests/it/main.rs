//! `luoctl` as its users run it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod compose;
mod initrd;
mod inspect;
mod pstore;
