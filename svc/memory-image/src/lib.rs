//! Physical memory from wherever one can read it: an ELF dump (`dump-guest-memory`, `vmcore`), a
//! raw image, a folder of pages, the running kernel's `/proc/kcore` or `/dev/mem`.
//!
//! [`Image::open`] tells them apart; an [`Image`] is a `kho::PhysMem`. [`Image::find`] looks for
//! handovers in it: a root FDT has no fixed place.
//!
//! Everything in an image is untrusted: segments are checked against the file, reads outside of
//! them are errors.

mod error;
mod file;
mod find;
mod image;
mod iomem;
mod segments;

pub use error::ImageError;
pub use find::Found;
pub use image::{Image, Kind};
