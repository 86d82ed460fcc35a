//! Sessions and the tokens in them.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use liveupdate_uapi::SessionName;

use crate::error::{Call, Error};
use crate::ioctl;

/// The name of a preserved descriptor within its session: opaque to the kernel, every value legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which kernel a session came from.
pub trait Direction: sealed::Sealed + fmt::Debug {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Outgoing {}
    impl Sealed for super::Incoming {}
}

/// Made in this kernel, meant for the next.
#[derive(Debug)]
pub enum Outgoing {}
/// Made in the previous kernel.
#[derive(Debug)]
pub enum Incoming {}

impl Direction for Outgoing {}
impl Direction for Incoming {}

/// One session. Closing its last descriptor ends it:
///
/// * an outgoing session is forgotten and everything in it unpreserved;
/// * an incoming session is finished: what was not retrieved is gone.
///
/// So whoever must not lose it keeps a duplicate ([`Session::duplicate`]).
pub struct Session<D: Direction> {
    fd: OwnedFd,
    direction: PhantomData<D>,
}

impl<D: Direction> Session<D> {
    /// Takes a descriptor for a session of this direction: one that came over a socket, say.
    ///
    /// Nothing is checked; the kernel answers `EINVAL` where the direction is wrong.
    pub const fn from_fd(fd: OwnedFd) -> Self {
        Self {
            fd,
            direction: PhantomData,
        }
    }

    /// The session's name (since v7.2).
    ///
    /// # Errors
    /// `ENOTTY` for a descriptor that is no session, `EINVAL` before v7.2.
    pub fn name(&self) -> Result<SessionName, Error> {
        session_name(&self.fd)
    }

    /// Another descriptor of the same session.
    ///
    /// # Errors
    /// `EMFILE` when the process has no free descriptor.
    pub fn duplicate(&self) -> Result<Self, Error> {
        rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
            .map(Self::from_fd)
            .map_err(|errno| Error::new(Call::Duplicate, errno))
    }
}

impl Session<Outgoing> {
    /// Preserves `fd` under `token`. The file's size is frozen from here to the session's end, its
    /// pages are allocated and pinned: the cost grows with its size.
    ///
    /// # Errors
    /// See [`Error::meaning`]: unsupported kinds of files, a token used twice, a file preserved
    /// already.
    pub fn preserve(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        ioctl::preserve_fd(&self.fd, fd.as_fd().as_raw_fd(), token.0)
            .map_err(|errno| Error::new(Call::PreserveFd, errno))
    }
}

impl Session<Incoming> {
    /// Retrieves what was preserved under `token`. A second call gives another descriptor of the
    /// same open file; a failure is remembered by the kernel and returned for ever.
    ///
    /// # Errors
    /// `ENOENT` for an unknown token or a finished session; what the file's handler answers.
    pub fn retrieve(&self, token: Token) -> Result<OwnedFd, Error> {
        ioctl::retrieve_fd(&self.fd, token.0).map_err(|errno| Error::new(Call::RetrieveFd, errno))
    }

    /// Finishes the session: what was not retrieved is discarded, what was can be preserved again.
    /// The descriptor stays usable for [`Session::name`], and finishing again succeeds.
    ///
    /// # Errors
    /// `EBUSY` when a file cannot be finished yet; then nothing was finished.
    pub fn finish(&self) -> Result<(), Error> {
        ioctl::finish(&self.fd).map_err(|errno| Error::new(Call::Finish, errno))
    }
}

fn session_name(fd: &OwnedFd) -> Result<SessionName, Error> {
    let bytes = ioctl::get_name(fd).map_err(|errno| Error::new(Call::GetName, errno))?;
    SessionName::from_kernel(bytes)
        .ok_or_else(|| Error::new(Call::GetName, rustix::io::Errno::PROTO))
}

impl<D: Direction> AsFd for Session<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<D: Direction> From<Session<D>> for OwnedFd {
    fn from(session: Session<D>) -> Self {
        session.fd
    }
}

impl<D: Direction> fmt::Debug for Session<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.fd).finish()
    }
}
