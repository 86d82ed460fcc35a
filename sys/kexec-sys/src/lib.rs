//! Loading and starting the next kernel.
//!
//! * [`load`] gives the kernel an image through `kexec_file_load(2)`, never `kexec_load(2)`: only
//!   the former hands the KHO tree to the next kernel (`kernel/kexec_file.c`, v7.3), the latter
//!   boots a kernel that has lost everything.
//! * [`status`] reads what is loaded and what the limits are.
//! * [`reboot`] jumps.

mod error;
mod image;
mod load;
pub mod reboot;
pub mod status;

pub use error::{Error, LoadError};
pub use image::SealedImage;
pub use load::{load, unload};
