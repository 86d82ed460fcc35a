//! A whole handover, read: what is in it, to whom each block belongs, what is wrong with it.
//!
//! Vocabulary:
//!
//! * A *handover* is what one kernel leaves to the next in memory: a root FDT, the tree of
//!   preserved blocks and *subtrees*: LUO's sessions, regions of `reserve_mem=`, kexec metadata, logs.
//! * An *observer* is told everything in the order it is read, as [`Event`]s. Nothing is collected:
//!   a handover of a terabyte is read with some ten megabytes of memory for the tree's bits.
//! * A *problem* is a [`Problem`], with what Linux 7.3 does when it meets it: a [`Consequence`].
//!
//! [`examine`] reads all of it; [`Content`] reads the content of a memfd; [`locate`] finds the root
//! in a memory image. What is read is never trusted: addresses are followed only into memory,
//! chains end, counts are checked before they are believed.
//!
//! Formats: crate `kho_abi`. Rules: `kernel/liveupdate/*.c`, `mm/memfd_luo.c`, `mm/memblock.c`,
//! v7.3.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod content;
mod coverage;
mod event;
mod examine;
mod locate;
mod luo;
mod memblock;
mod memfd;
mod page_image;
mod preserved;
mod problem;
mod pstore;
#[cfg(test)]
mod tests;
mod text;

pub use content::{Content, ContentError};
pub use event::{Event, File, Flb, Memfd, Orders, Owner, Session, Totals};
pub use examine::examine;
pub use locate::locate;
pub use page_image::{PageImage, PageIndexError};
pub use problem::{Consequence, MemfdProblem, Problem};
