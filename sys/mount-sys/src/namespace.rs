//! Mounts of the calling thread's own.
#![expect(
    unsafe_code,
    reason = "unshare(2) can take other things apart than mounts"
)]

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Gives the calling thread a mount namespace of its own, in which nothing reaches the one it came
/// from. Other threads stay where they are.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: only `CLONE_NEWNS`: descriptors stay shared, which is what the call is unsafe for.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
}
