//! Calls that change files whose size is held while they are preserved.
//!
//! Linux refuses all of them, and writes behind the end of the file too. Those are not sent here:
//! every `write()` of every program would be. So a preserved file can grow, and what is behind its
//! old end is not handed over; the jump tells of it.

use std::os::fd::{AsFd as _, RawFd};

use luo::Errno;
use notify_sys::Notification;
use rustix::fs::{OFlags, SealFlags};

use super::{EPERM, Outcome};
use crate::generation::Generation;

/// `F_SEAL_WRITE`.
const SEAL_WRITE: u32 = 0x8;

impl Generation<'_> {
    pub(super) fn resize(&self, call: &Notification, fd: RawFd, size: u64) -> Outcome {
        match self.frozen_size(call, fd) {
            Some(frozen) if frozen != size => Outcome::Fail(EPERM),
            _ => Outcome::Continue,
        }
    }

    pub(super) fn allocate(&self, call: &Notification, fd: RawFd) -> Outcome {
        match self.frozen_size(call, fd) {
            Some(_) => Outcome::Fail(EPERM),
            None => Outcome::Continue,
        }
    }

    /// The pages of a preserved file are pinned, so it cannot be sealed against writing. Whether it
    /// may be sealed at all comes first.
    pub(super) fn add_seals(&self, call: &Notification, fd: RawFd, seals: u32) -> Outcome {
        if seals & SEAL_WRITE == 0 || self.frozen_size(call, fd).is_none() {
            return Outcome::Continue;
        }
        let file = call.task.duplicate_fd(fd);
        match file.and_then(rustix::fs::fcntl_get_seals) {
            Ok(there) if there.contains(SealFlags::SEAL) => Outcome::Continue,
            _ => Outcome::Fail(Errno::EBUSY),
        }
    }

    /// Size of a file that is held; of a descriptor for reading only the kernel says what is wrong.
    fn frozen_size(&self, call: &Notification, fd: RawFd) -> Option<u64> {
        if !self.kernel.files.is_any_frozen() {
            return None;
        }
        let file = call.task.duplicate_fd(fd).ok()?;
        let flags = rustix::fs::fcntl_getfl(&file).ok()?;
        if flags & OFlags::RWMODE == OFlags::RDONLY {
            return None;
        }
        self.kernel.files.frozen_size(file.as_fd())
    }
}
