//! Descriptors that a program inherits under a number it is told by a name.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// The lowest number given out: above those a program opens itself at its start.
const LOWEST: i32 = 100;
/// In front of the number, in the target of a link.
pub(crate) const FOLDER: &str = "/proc/self/fd/";

/// A descriptor that stays open in every program started from now on.
#[derive(Debug)]
pub(crate) struct Numbered(OwnedFd);

impl Numbered {
    pub(crate) fn new(file: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = fcntl_dupfd_cloexec(file, LOWEST)?;
        fcntl_setfd(&fd, FdFlags::empty())?;
        Ok(Self(fd))
    }

    /// What a name links to, as a program that inherited the descriptor follows it.
    pub(crate) fn target(&self) -> String {
        format!("{FOLDER}{}", self.0.as_raw_fd())
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
