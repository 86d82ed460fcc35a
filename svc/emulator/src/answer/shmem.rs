//! Calls that change files whose size is held while they are preserved.
//!
//! Linux refuses all of them, and writes behind the end of the file too. Those are not sent here:
//! every `write()` of every program would be. So a preserved file can grow, and what is behind its
//! old end is not handed over; the jump tells of it.

use std::os::fd::{AsFd as _, RawFd};

use luo::Errno;
use notify_sys::Notification;

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

    /// The pages of a preserved file are pinned, so it cannot be sealed against writing.
    pub(super) fn add_seals(&self, call: &Notification, fd: RawFd, seals: u32) -> Outcome {
        match self.frozen_size(call, fd) {
            Some(_) if seals & SEAL_WRITE != 0 => Outcome::Fail(Errno::EBUSY),
            _ => Outcome::Continue,
        }
    }

    fn frozen_size(&self, call: &Notification, fd: RawFd) -> Option<u64> {
        if !self.kernel.files.is_any_frozen() {
            return None;
        }
        let file = call.task.duplicate_fd(fd).ok()?;
        self.kernel.files.frozen_size(file.as_fd())
    }
}
