//! Kernel images, as a boot loader reads them.
//!
//! [`bzimage`] is the format of x86: a setup header at a fixed place, and behind the real-mode code
//! what runs in protected and long mode. One module per format.
//!
//! A file is an allegation: every length and offset it names is checked against what is there, and
//! nothing is copied.
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

#[cfg(test)]
extern crate std;

pub mod bzimage;

pub use bzimage::{BzImage, BzImageError};
