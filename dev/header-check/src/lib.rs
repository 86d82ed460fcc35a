//! Proves `kho-abi`, `klp-abi` and `liveupdate-uapi` against the headers of a kernel source tree.
//!
//! [`table`] lists every structure, field, constant and string of the crates beside its C
//! name. [`check`] writes them as C definitions, has gcc compile those against the tree's own
//! headers (to assembly, nothing is run), reads the values back and compares. It also looks for
//! structures and macros of those headers that the table does not know.
//!
//! The prose of kernel headers drifts, so nothing is read from comments.

mod asm;
mod check;
mod compile;
mod coverage;
mod error;
mod probe;
mod release;
mod report;
pub mod table;

pub use check::{check, check_table};
pub use error::{Error, Result};
pub use release::Release;
pub use report::{Mismatch, Report};
