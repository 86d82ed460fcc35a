//! Attributes of mounts, set on one that is there or on a new tree.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree as plain_open_tree};

use crate::call::{self, MountAttr};

/// `AT_EMPTY_PATH` and `AT_RECURSIVE` (`include/uapi/linux/fcntl.h`, v7.3).
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_RECURSIVE: u32 = 0x8000;
/// The field of access times in [`AttributeFlags`]; to change it, all of it is cleared.
const ATIME: u64 = 0x70;

bitflags::bitflags! {
    /// `MOUNT_ATTR_…`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct AttributeFlags: u64 {
        /// Nothing is written.
        const RDONLY = 0x1;
        /// No program gets more rights.
        const NOSUID = 0x2;
        /// No device is opened.
        const NODEV = 0x4;
        /// No program is started.
        const NOEXEC = 0x8;
        /// Access times are not kept.
        const NOATIME = 0x10;
        /// Access times are kept always.
        const STRICTATIME = 0x20;
        /// Access times of folders are not kept.
        const NODIRATIME = 0x80;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x20_0000;
        const _ = !0;
    }
}

/// Whether mounts of a tree hand mounts on to their peers (`MS_…` of `include/uapi/linux/mount.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They do not.
    Private,
    /// They do, both ways.
    Shared,
    /// They take and do not give.
    Slave,
    /// They do not, and cannot be cloned.
    Unbindable,
}

/// How far a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One mount.
    One,
    /// It and all below it.
    Tree,
}

/// What is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// Attributes to set.
    pub set: AttributeFlags,
    /// Attributes to clear.
    pub clear: AttributeFlags,
    /// Propagation; `None` leaves it.
    pub propagation: Option<Propagation>,
}

impl MountAttributes {
    fn to_kernel(self) -> MountAttr {
        let mut clear = self.clear.bits();
        if (self.set | self.clear).bits() & ATIME != 0 {
            clear |= ATIME;
        }
        MountAttr {
            attr_set: self.set.bits(),
            attr_clr: clear,
            propagation: match self.propagation {
                None => 0,
                Some(Propagation::Unbindable) => 1 << 17,
                Some(Propagation::Private) => 1 << 18,
                Some(Propagation::Slave) => 1 << 19,
                Some(Propagation::Shared) => 1 << 20,
            },
            userns_fd: 0,
        }
    }
}

const fn reach_flag(reach: Reach) -> u32 {
    match reach {
        Reach::One => 0,
        Reach::Tree => AT_RECURSIVE,
    }
}

/// `mount_setattr(fd, "", AT_EMPTY_PATH, …)` — changes a mount, which may be detached.
///
/// # Errors
/// `EINVAL` if `mount` is not the root of one, `EPERM` for a locked attribute, `EBUSY` for `RDONLY`
/// with a file open for writing, `ENOSYS` before Linux 5.12.
pub fn set_attributes(
    mount: impl AsFd,
    reach: Reach,
    attributes: MountAttributes,
) -> Result<(), Errno> {
    let flags = AT_EMPTY_PATH | reach_flag(reach);
    call::mount_setattr(mount.as_fd(), c"", flags, &attributes.to_kernel())
}

/// `mount_setattr(fd, "", AT_EMPTY_PATH, …)` with `MOUNT_ATTR_IDMAP` — the owners of files are those that the user
/// namespace maps them to.
///
/// # Errors
/// `EINVAL` if the file system does not know of it or the mount is attached, `EPERM` if it has a map already or the
/// namespace is the first one, `EBADF` if it is no user namespace, `ENOSYS` before Linux 5.12.
pub fn map_ids(mount: impl AsFd, reach: Reach, user_namespace: impl AsFd) -> Result<(), Errno> {
    let flags = AT_EMPTY_PATH | reach_flag(reach);
    call::mount_set_idmap(mount.as_fd(), c"", flags, user_namespace.as_fd())
}

/// `open_tree_attr(fd, path, OPEN_TREE_CLONE, …)` — clones what is mounted at a path, with other
/// attributes from the start; the clone is detached and ends with its descriptor.
///
/// On a kernel without the call (before Linux 6.15) a clone without changes is one of
/// `open_tree(2)`, and one with changes is `ENOSYS`.
///
/// # Errors
/// `EINVAL` if what is to be cloned is not in the caller's namespace, or a locked mount is below.
pub fn open_tree(
    folder: impl AsFd,
    path: &CStr,
    reach: Reach,
    attributes: MountAttributes,
) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if attributes == MountAttributes::default() {
        return plain_open_tree(folder, path, flags);
    }
    call::open_tree_attr(folder.as_fd(), path, flags.bits(), &attributes.to_kernel())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `do_mount_setattr()` refuses a change of the field that does not clear all of it.
    #[test]
    fn access_times_are_changed_as_a_whole() {
        let attributes = MountAttributes {
            set: AttributeFlags::NOATIME,
            ..MountAttributes::default()
        };
        assert_eq!(attributes.to_kernel().attr_clr, ATIME);
        let attributes = MountAttributes {
            set: AttributeFlags::RDONLY,
            ..MountAttributes::default()
        };
        assert_eq!(attributes.to_kernel().attr_clr, 0);
    }
}
