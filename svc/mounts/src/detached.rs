//! [`DetachedMount`]: mounts that nobody sees yet.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mount_sys::{MountAttributes, MountId, Reach, open_tree, set_attributes};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};

use crate::error::{Call, MountError};

/// A mount, or a tree of them, that is attached nowhere and ends with this value. Files on it can be
/// opened from its descriptor.
#[derive(Debug)]
pub struct DetachedMount {
    fd: OwnedFd,
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Takes the mount at `path` into the group of the one at `of`: mounts made on one of them are made on the others, and
/// where `of` takes them from others, so does `path`. Both are of one file system, and `path` is private before.
///
/// # Errors
/// [`MountError`]: `EINVAL` where that is not so, and before Linux 5.15.
pub fn join_group(path: &Path, of: &Path) -> Result<(), MountError> {
    let flags = MoveMountFlags::MOVE_MOUNT_SET_GROUP;
    let answer = move_mount(CWD, of, CWD, path, flags);
    answer.map_err(|errno| MountError::new(Call::JoinGroup, of.display().to_string(), errno))
}

impl DetachedMount {
    pub(crate) const fn of(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Clones what is at a path, and with [`Reach::Tree`] all that is mounted below.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn clone_of(
        path: &Path,
        reach: Reach,
        attributes: MountAttributes,
    ) -> Result<Self, MountError> {
        let name = path.display().to_string();
        let failed = |errno| MountError::new(Call::Clone, name, errno);
        let path = CString::new(path.as_os_str().as_bytes());
        match path {
            Err(_nul) => Err(failed(Errno::INVAL)),
            Ok(path) => open_tree(CWD, &path, reach, attributes)
                .map(Self::of)
                .map_err(failed),
        }
    }

    /// The number of the mount; of a tree, of its root.
    ///
    /// # Errors
    /// [`MountError`]: `ENOSYS` before Linux 6.8.
    pub fn id(&self) -> Result<MountId, MountError> {
        MountId::of(&self.fd).map_err(|errno| MountError::new(Call::Number, "the new tree", errno))
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn set_attributes(
        &self,
        reach: Reach,
        attributes: MountAttributes,
    ) -> Result<(), MountError> {
        let answer = set_attributes(&self.fd, reach, attributes);
        answer.map_err(|errno| MountError::new(Call::SetAttributes, "that is detached", errno))
    }

    /// Shows other owners of its files than the file system has, and stores others: those that the user namespace maps
    /// them to. Only once, and before it is attached.
    ///
    /// # Errors
    /// [`MountError`]; see [`MountError::meaning`] for what `EINVAL` and `EPERM` stand for.
    pub fn map_ids(&self, reach: Reach, user_namespace: impl AsFd) -> Result<(), MountError> {
        let answer = mount_sys::map_ids(&self.fd, reach, user_namespace);
        answer.map_err(|errno| MountError::new(Call::MapIds, "that is detached", errno))
    }

    /// Attaches it at a path, on top of what is there.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn attach(&self, path: &Path) -> Result<(), MountError> {
        self.move_to(path, Call::Attach, MoveMountFlags::empty())
    }

    /// Attaches it at a path, beneath what is mounted there: nobody sees it until that is detached.
    ///
    /// # Errors
    /// [`MountError`]; see [`MountError::meaning`] for what `EINVAL` stands for.
    pub fn attach_beneath(&self, path: &Path) -> Result<(), MountError> {
        self.move_to(
            path,
            Call::AttachBeneath,
            MoveMountFlags::MOVE_MOUNT_BENEATH,
        )
    }

    fn move_to(&self, path: &Path, call: Call, flags: MoveMountFlags) -> Result<(), MountError> {
        let flags = flags | MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        let answer = move_mount(&self.fd, c"", CWD, path, flags);
        answer.map_err(|errno| MountError::new(call, path.display().to_string(), errno))
    }
}
