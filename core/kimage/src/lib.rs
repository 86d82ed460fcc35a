//! Kernel images, as a boot loader reads them, and what is inside.
//!
//! [`bzimage`] is the format of x86: a setup header at a fixed place, and behind the real-mode code
//! what runs in protected and long mode. [`Arm64Image`] and [`Zboot`] are those of arm64, [`Uki`] has
//! a kernel with all it is started with. [`unpack`] gets at the kernel itself, in which [`Tags`] and
//! [`KernelConfig`] tell whether it can take over what another one hands over.
//!
//! A file is an allegation: every length and offset it names is checked against what is there, and
//! what is unpacked has a limit.
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

mod arm64;
pub mod bzimage;
mod config;
mod tags;
mod uki;
mod unpack;
mod zboot;

pub use arm64::Arm64Image;
pub use bzimage::{BzImage, BzImageError};
pub use config::KernelConfig;
pub use tags::{Tags, has_string, release};
pub use uki::{Uki, is_signed};
pub use unpack::{Packing, UnpackError, Unpacked, unpack};
pub use zboot::Zboot;

#[cfg(test)]
mod tests;
