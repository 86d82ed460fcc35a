//! The superblock of a mounted ext4 file system, read and changed by two ioctls (Linux 6.18).
//!
//! Any descriptor of the file system will do, and reading takes no privileges. The kernel writes changes to
//! the superblock and its copies in the journal: nothing writes the block device beside it.
//!
//! C header: `include/uapi/linux/ext4.h`; behaviour read from `fs/ext4/ioctl.c` (both v7.3).

mod ioctl;
mod params;

pub use ioctl::{get, set};
pub use params::{Fields, MOUNT_OPTIONS_BYTES, TuneParams};
