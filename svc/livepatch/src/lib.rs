//! Livepatch modules from files to files.
//!
//! [`Input`] is the bytes of a file, mapped where that is sound and read elsewhere; inputs are never written.
//! [`checksums()`] and [`Comparison`] do what takes time on every core.

mod build;
mod checksums;
mod comparison;
mod error;
mod input;
mod linked;
mod output;
mod verification;
pub mod words;

pub use build::{Build, Built, Refusal, Replace, Step};
pub use checksums::{Checksum, checksums};
pub use comparison::Comparison;
pub use error::Error;
pub use input::Input;
pub use linked::{LinkedFile, object_name};
pub use output::write_whole;
pub use verification::Verification;
