//! The Live Update Orchestrator (LUO) in Rust: what is behind `/dev/liveupdate`.
//!
//! Vocabulary:
//!
//! * A *session* is a named set of files that go through a live update together. It lives as long
//!   as its descriptor: closing an outgoing one preserves nothing, closing an incoming one finishes
//!   it.
//! * A *file handler* knows how to preserve one kind of file.
//! * The world around the engine is two traits: [`Caller`] is the process that makes a call,
//!   [`ShmemFiles`] are the files whose content is handed over.
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
