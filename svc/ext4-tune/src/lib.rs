//! Parameters of a mounted ext4 file system, changed through the kernel (Linux 6.18): nothing writes the
//! block device beside it.
//!
//! [`read`] gives all of them, [`Setting::parse`] reads one that is to change, [`tune`] checks and sets several at once
//! and gives what was and what is. What the kernel does not check is checked here:
//!
//! * stored mount options are tried on a context of their own, and those that need a journal are refused on a
//!   file system without one: the next mount would fail;
//! * a change of anything else leaves the stored mount options as they are, also on Linux up to 7.2, which stores
//!   whatever a call has in that field (`fs/ext4/ioctl.c`, v7.2);
//! * features are not changed: case folding, once switched on, leaves the mounted file system without its encoding, and
//!   the kernel crashes over that.

mod error;
mod setting;
mod tune;

pub use error::Error;
pub use setting::Setting;
pub use tune::{Difference, Parameters, read, tune};
