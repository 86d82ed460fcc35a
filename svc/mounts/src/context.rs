//! [`FsContext`]: a file system that is being set up, or changed.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, fsconfig_create,
    fsconfig_create_exclusive, fsconfig_reconfigure, fsconfig_set_binary, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_path, fsconfig_set_path_empty, fsconfig_set_string, fsmount,
    fsopen, fspick,
};

use crate::detached::DetachedMount;
use crate::error::{Call, MountError};
use crate::log::{Message, drain};

/// Parameters are set; there is no file system yet (`FS_CONTEXT_CREATE_PARAMS`).
#[derive(Debug)]
pub enum Create {}

/// There is a file system; it is mounted once (`FS_CONTEXT_AWAITING_MOUNT`).
#[derive(Debug)]
pub enum AwaitingMount {}

/// The file system is in use; parameters are changed (`FS_CONTEXT_RECONF_PARAMS`).
#[derive(Debug)]
pub enum Reconfigure {}

/// A context. A call that makes it useless (`FS_CONTEXT_FAILED`: after a failed create or reconfigure
/// only the log can be read) takes it, and puts its log into the error.
#[derive(Debug)]
pub struct FsContext<State> {
    fd: OwnedFd,
    /// For messages: the file system's name, or where it is mounted.
    name: String,
    state: PhantomData<State>,
}

/// A value of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// None: the parameter is a switch.
    Flag,
    /// Text; the source of a file system on a device is one too, whatever the manual page says.
    String(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A path, from an open folder or, without one, from the working folder.
    Path(Option<BorrowedFd<'a>>, &'a Path),
    /// What an open file is.
    PathEmpty(BorrowedFd<'a>),
    /// An open file.
    Fd(BorrowedFd<'a>),
}

/// Whether a file system that is there already will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It will not: `FSCONFIG_CMD_CREATE_EXCL`.
    Refuse,
    /// It will; the parameters that were set are ignored then, without a word, but for `ro`.
    Allow,
}

impl<State> FsContext<State> {
    fn of(fd: OwnedFd, name: &str) -> Self {
        Self {
            fd,
            name: name.to_owned(),
            state: PhantomData,
        }
    }

    fn set_param(&self, key: &str, value: Param<'_>) -> Result<(), MountError> {
        let fd = &self.fd;
        let answer = match value {
            Param::Flag => fsconfig_set_flag(fd, key),
            Param::String(text) => fsconfig_set_string(fd, key, text),
            Param::Binary(bytes) => fsconfig_set_binary(fd, key, bytes),
            Param::Path(folder, path) => fsconfig_set_path(fd, key, path, folder.unwrap_or(CWD)),
            Param::PathEmpty(file) => fsconfig_set_path_empty(fd, key, file),
            Param::Fd(file) => fsconfig_set_fd(fd, key, file),
        };
        answer.map_err(|errno| self.failed(Call::Set, key, errno))
    }

    /// The error of a call, with what the kernel said because of it.
    fn failed(&self, call: Call, what: &str, errno: Errno) -> MountError {
        MountError {
            messages: drain(self.fd.as_fd()),
            ..MountError::new(call, what, errno)
        }
    }

    /// What the kernel said without a call having failed: warnings.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        drain(self.fd.as_fd())
    }
}

impl FsContext<Create> {
    /// Opens a context for a type of file system, `ext4`.
    ///
    /// # Errors
    /// [`MountError`]: `ENODEV` for a type that the kernel does not know.
    pub fn open(fs_type: &str) -> Result<Self, MountError> {
        let fd = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC);
        let fd = fd.map_err(|errno| MountError::new(Call::Open, fs_type, errno))?;
        Ok(Self::of(fd, fs_type))
    }

    /// Sets a parameter; after an error the context is as it was.
    ///
    /// # Errors
    /// [`MountError`] with what the kernel says of it.
    pub fn set(&self, key: &str, value: Param<'_>) -> Result<(), MountError> {
        self.set_param(key, value)
    }

    /// Makes the file system.
    ///
    /// # Errors
    /// [`MountError`] with what the kernel says of it; the context is of no more use.
    pub fn create(self, reuse: Reuse) -> Result<FsContext<AwaitingMount>, MountError> {
        let (call, answer) = match reuse {
            Reuse::Refuse => (Call::CreateExclusive, fsconfig_create_exclusive(&self.fd)),
            Reuse::Allow => (Call::Create, fsconfig_create(&self.fd)),
        };
        answer.map_err(|errno| self.failed(call, &self.name, errno))?;
        Ok(FsContext::of(self.fd, &self.name))
    }
}

impl FsContext<AwaitingMount> {
    /// Mounts it, attached nowhere; the context is for changes then.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn mount(self) -> Result<(DetachedMount, FsContext<Reconfigure>), MountError> {
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let fd = fsmount(&self.fd, flags, MountAttrFlags::empty());
        let fd = fd.map_err(|errno| self.failed(Call::Mount, &self.name, errno))?;
        let context = FsContext::of(self.fd, &self.name);
        Ok((DetachedMount::of(fd), context))
    }
}

impl FsContext<Reconfigure> {
    /// Picks the file system that is mounted at a path.
    ///
    /// # Errors
    /// [`MountError`]: `EINVAL` when the path is not the root of a mount.
    pub fn pick(path: &Path) -> Result<Self, MountError> {
        let name = path.display().to_string();
        let fd = fspick(CWD, path, FsPickFlags::FSPICK_CLOEXEC);
        let fd = fd.map_err(|errno| MountError::new(Call::Pick, &name, errno))?;
        Ok(Self::of(fd, &name))
    }

    /// Sets a parameter; after an error the context is as it was.
    ///
    /// # Errors
    /// [`MountError`] with what the kernel says of it.
    pub fn set(&self, key: &str, value: Param<'_>) -> Result<(), MountError> {
        self.set_param(key, value)
    }

    /// Has the file system take its parameters.
    ///
    /// # Errors
    /// [`MountError`] with what the kernel says of it; the context is of no more use.
    pub fn reconfigure(self) -> Result<Self, MountError> {
        let answer = fsconfig_reconfigure(&self.fd);
        answer.map_err(|errno| self.failed(Call::Reconfigure, &self.name, errno))?;
        Ok(self)
    }
}
