//! Whether a livepatch module fits a kernel and its modules, told before it is loaded.
//!
//! [`verify`] joins what [`kernel_symbols::klp::check`] finds (livepatch symbols, their positions, the functions that are
//! replaced) with what the module loader refuses: another version string, symbols that nobody exports, namespaces that are
//! not imported. Build identities tell whether the files are those of the kernel that runs.
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

mod build_id;
mod facts;
mod problem;
mod verify;

pub use build_id::build_id;
pub use facts::Facts;
pub use problem::Problem;
pub use verify::{Given, Running, verify};
