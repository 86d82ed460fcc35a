//! Livepatch modules as ELF files.
//!
//! * [`extract`] makes the object of a change: what [`klp_diff::Plan`] says goes along, with records of the functions to
//!   replace and of the relocations that the livepatch core must apply. The kernel's build links it with its `init.c` into
//!   a module;
//! * [`link`] makes livepatch relocations of those records in the linked module. It is the last step: linkers know neither
//!   two relocation sections for one section nor `SHN_LIVEPATCH`;
//! * [`with_checksums`] puts checksums into an object, for a diff by `objtool`.
//!
//! The formats are those of `objtool klp` (`include/linux/livepatch_external.h`, `scripts/livepatch/init.c`, v7.3), so each
//! of the steps can be done by either tool.
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

mod checksums;
mod error;
mod extract;
mod image;
mod layout;
mod link;
mod names;
mod records;
mod rewrite;
mod runtime_constant;

pub use checksums::with_checksums;
pub use error::Error;
pub use extract::{Change, extract};
pub use link::{LinkError, Linked, link};
