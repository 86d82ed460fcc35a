//! The user interface of the Live Update Orchestrator: ioctl numbers and argument layouts.
//!
//! Two dialects exist:
//!
//! * [`mainline`]: Linux 7.2 and 7.3, `include/uapi/linux/liveupdate.h`;
//! * [`v4`]: the LUO v4 patch series of September 2025, never merged.
//!
//! Both use ioctl type [`IOCTL_TYPE`] and plain `_IO` numbers: neither direction nor size is
//! encoded, so one number can mean two things in the two dialects.
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

pub mod mainline;
mod name;
pub mod v4;

pub use name::{NameError, SessionName};

/// `LIVEUPDATE_IOCTL_TYPE`: the type byte of every command (v7.3).
#[doc(alias = "LIVEUPDATE_IOCTL_TYPE")]
pub const IOCTL_TYPE: u8 = 0xBA;

/// Path of the device node, as devtmpfs makes it (`drivers/char/misc.c` name `liveupdate`, v7.3).
pub const DEVICE_PATH: &str = "/dev/liveupdate";
