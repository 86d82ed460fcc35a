//! Livepatch modules from files to files.
//!
//! [`Input`] is the bytes of a file, mapped where that is sound and read elsewhere; inputs are never written.

mod checksums;
mod error;
mod input;

pub use checksums::{Checksum, checksums};
pub use error::Error;
pub use input::Input;
