//! Records of pstore, the kernel's store for logs that outlive it.
//!
//! A *record* is one file of `/sys/fs/pstore`. Its [`RecordName`] says what it is and of which *backend*, the driver
//! that kept it. A *dump* is what the kernel wrote at one event, such as a shutdown or an oops, into one or more
//! records, its *parts*; [`join()`] finds those that belong together. [`Contents`] is a record unpacked, with its
//! [`DumpHeader`] taken off; [`lines()`] splits the text into lines with priority and time.
//!
//! [`ramoops`] is the layout of the backend that keeps records in plain memory: [`ramoops::Geometry`] divides a region
//! as the driver does, [`ramoops::records`] reads the bytes of one. [`Recipe`] is a configuration of that driver with
//! which the log of a kernel reaches the next one over a kexec.
//!
//! No I/O: the caller reads files. Every byte is an allegation; what is unpacked is bounded.
//!
//! Source: `include/linux/pstore.h`, `fs/pstore/{platform,inode,ram,ram_core}.c`, v7.3.
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

mod contents;
mod dump;
mod join;
mod lines;
mod name;
pub mod ramoops;
mod recipe;

pub use contents::{Contents, InflateError, Unpacked, inflate};
pub use dump::{DumpHeader, Reason};
pub use join::{Dump, Part, join};
pub use lines::{Level, Line, Stamp, lines};
pub use name::{NameError, RecordKind, RecordName};
pub use recipe::{Driver, Label, Recipe, RecipeError};
