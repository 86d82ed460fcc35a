//! The Live Update Orchestrator (LUO) in Rust: what is behind `/dev/liveupdate`.
//!
//! Vocabulary:
//!
//! * A *session* is a named set of files that go through a live update together. It lives as long
//!   as its descriptor: closing an outgoing one preserves nothing, closing an incoming one finishes
//!   it.
//! * A *file handler* ([`FileHandler`]) knows how to preserve one kind of file; [`MemfdHandler`] is
//!   that of memfds.
//! * An *FLB* ([`Flb`], file-lifecycle-bound object) is what files of some kinds share: preserved
//!   with the first of them, finished with the last.
//! * A *subsystem* ([`Subsystem`]) is a part of the kernel that goes through every update of the v4
//!   series ([`Dialect::V4`]).
//!
//! [`Luo`] is all of it for one boot. It stands on a [`kho::Kho`], from which it imports what the
//! kernel before handed over, and in which it leaves what the next one will find. The world around
//! it is two traits: [`Caller`] is the process that makes a call, [`ShmemFiles`] are the files whose
//! content is handed over.
//!
//! What is received is not trusted: damage ends in a [`BootError`] where Linux panics, or in the
//! errno Linux answers. Known defects of Linux are avoided, and reproduced on demand ([`Defects`]).
//!
//! Formats: crate `kho_abi`; commands: crate `liveupdate_uapi`; behaviour:
//! `kernel/liveupdate/luo_*.c`, v7.2 and v7.3, which are the same in everything described here.
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

mod args;
mod boot_error;
mod caller;
mod defects;
mod engine;
mod errno;
mod flb;
mod handler;
mod mainline;
mod memfd;
mod name;
mod shmem;
#[cfg(test)]
mod tests;
mod v4;

pub use boot_error::BootError;
pub use caller::{Caller, Fault, InstallError, Object, SessionId};
pub use defects::Defects;
pub use engine::{Config, Dialect, Luo, SessionInfo, Target};
pub use errno::Errno;
pub use flb::{Flb, FlbId, FlbState};
pub use handler::{Context, FileHandler, HandlerId, RetrieveStatus};
pub use memfd::MemfdHandler;
pub use shmem::{ShmemFiles, ShmemState};
pub use v4::{Subsystem, SubsystemId};
