//! The process that makes a call, as the engine sees it.

use crate::errno::Errno;

/// An address of the caller cannot be accessed: `EFAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address of the caller cannot be accessed")]
pub struct Fault;

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Self::EFAULT
    }
}

/// Why no descriptor was installed; nothing of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The answer could not be written.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no room for a descriptor after all.
    #[error(transparent)]
    Errno(#[from] Errno),
}

impl From<InstallError> for Errno {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Fault(fault) => fault.into(),
            InstallError::Errno(errno) => errno,
        }
    }
}

/// A session, for the engine and for whoever keeps its descriptors. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<F> {
    /// `/dev/liveupdate`.
    Device,
    /// A session.
    Session(SessionId),
    /// Any other open file.
    File(F),
}

/// The process that makes a call.
pub trait Caller {
    /// An open file of the caller's world. A clone is one more reference to the same open file.
    type File: Clone;

    /// Reads the caller's memory: `copy_from_user()`.
    ///
    /// # Errors
    /// [`Fault`] unless all of it can be read.
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Writes the caller's memory: `copy_to_user()`.
    ///
    /// # Errors
    /// [`Fault`] unless all of it can be written.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Makes sure that one more descriptor fits. Asked before anything is looked up, as the kernel
    /// takes the number first: `get_unused_fd_flags()`.
    ///
    /// # Errors
    /// [`Errno::EMFILE`], [`Errno::ENFILE`].
    fn reserve_fd(&mut self) -> Result<(), Errno>;

    /// What a descriptor of the caller stands for: `fget()`.
    ///
    /// # Errors
    /// [`Errno::EBADF`] when it is closed or was opened with `O_PATH`.
    fn object(&mut self, fd: i32) -> Result<Object<Self::File>, Errno>;

    /// Installs a close-on-exec descriptor for `object`. Its number goes as a native `i32` to
    /// `fd_offset` of `answer`, and `answer` to the caller's memory at `addr`.
    ///
    /// # Errors
    /// [`InstallError`]: nothing is installed, and the engine does what the kernel does with an
    /// object that nobody has.
    fn install(
        &mut self,
        object: Object<Self::File>,
        addr: u64,
        answer: &mut [u8],
        fd_offset: usize,
    ) -> Result<(), InstallError>;
}
