//! The seven compressed forms that Linux unpacks at boot: kernels and parts of an initramfs.
//!
//! [`Format::of`] tells which one by the kernel's table of magic numbers, [`decompress`] unpacks the
//! first stream and says how long it was. Rules where tools and the kernel differ are the kernel's: a
//! stream of xz with another check than CRC32, and a frame of lz4 that is not the old one, are refused
//! (`lib/decompress*.c`, v7.3).
//!
//! The result is never longer than the caller allows, and little more than it is ever allocated.
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

mod error;
mod format;
mod lz4;
mod lzo;
mod stream;

pub use error::Error;
pub use format::Format;
pub use stream::{Decompressed, decompress};

#[cfg(test)]
mod tests;
