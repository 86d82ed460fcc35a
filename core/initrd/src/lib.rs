//! Initramfs images: the newc cpio format that Linux unpacks into its root at boot, alone or compressed.
//!
//! [`read`] goes through an image as the kernel does and stops where it stops.
//! [`Tree`] is the root it leaves behind.
//! [`Archive`] takes entries in order and gives the archive's bytes. It refuses what the kernel
//! would skip in silence: a name longer than `PATH_MAX`, an entry whose folder is not there, a
//! file of 4 GiB or more. The same entries always give the same bytes (no clock, no host inode
//! numbers), so an image can be compared and cached by its content.
//!
//! The format is described in `Documentation/driver-api/early-userspace/buffer-format.rst`; the
//! reader that decides is `init/initramfs.c` (both v7.3).
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

mod archive;
mod block;
mod check;
mod entry;
mod error;
mod heads;
mod reader;
mod tree;

pub use archive::Archive;
pub use block::BlockImage;
pub use check::{Finding, Kernel, Topic, Verdict, check};
pub use decompress::Format;
pub use entry::{Attributes, Device, Kind, Permissions};
pub use error::Error;
pub use heads::{Head, Heads};
pub use reader::{
    BootConfig, Contents, EntryKind, Member, ReadEntry, Refusal, Refused, Rules, Seen, UnpackFn,
    read,
};
pub use tree::{Loss, Node, Tree};
