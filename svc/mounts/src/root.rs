//! Makes a mount the root folder: what an initramfs does when it has found the root file system.
//!
//! `pivot_root(2)` does it for every process at once. It refuses where the root is the first mount there is, which nothing
//! is below of: an initramfs of kernels without nullfs. There the new root is moved on top of the old one and becomes that
//! of the calling process, as `switch_root(8)` does it; what the initramfs has in memory stays there, unseen.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use mount_sys::MountId;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, open, openat2, statx,
};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use crate::error::{Call, MountError};

/// How the root was switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSwitch {
    /// For every process; the old root is detached, and gone with its last user.
    Pivoted,
    /// For the calling process; the old root is below, and stays.
    MovedOver,
}

/// Why the root is what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// The new root is no mount.
    #[error("switch to {}: nothing is mounted right there", path.display())]
    NotAMount {
        /// The path.
        path: PathBuf,
    },
    /// A folder cannot be opened.
    #[error("open {}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A mount is to be moved to the new root, which has no folder for it.
    #[error("move the mount at {} along: the new root has no such folder", path.display())]
    NoPlace {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// A call failed; mounts that had been moved are where they were.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A call failed, and mounts that had been moved could not be moved back.
    #[error("{failed}; and {} is still below the new root: {undo}", path.display())]
    NotMovedBack {
        /// What failed.
        failed: MountError,
        /// What is mounted elsewhere now.
        path: PathBuf,
        /// Why it cannot be moved back.
        undo: Box<MountError>,
    },
    /// Something else is the root afterwards.
    #[error("see the new root: mount {} is the root instead of {}", found.number(), wanted.number())]
    NotSeen {
        /// What is.
        found: MountId,
        /// What should be.
        wanted: MountId,
    },
}

/// Makes what is mounted at `new` the root folder, and the working folder of the caller. What is mounted at the folders
/// `along`, absolute paths, is moved to the same places in it; those of them where nothing is mounted are left out.
///
/// # Errors
/// [`SwitchError`]; but for the last two of them nothing has changed then, except perhaps the working folder.
pub fn switch_root(new: &Path, along: &[PathBuf]) -> Result<RootSwitch, SwitchError> {
    let root = open_folder(new)?;
    if !is_mount(&root, new)? {
        let path = new.to_owned();
        return Err(SwitchError::NotAMount { path });
    }
    let wanted = number(&root, new)?;
    let moves = along
        .iter()
        .filter_map(|path| one_move(&root, path).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let mut moved = Vec::new();
    for one in &moves {
        match one.make(&one.from, &one.to) {
            Ok(()) => moved.push(one),
            Err(failed) => return Err(undo(&moved, failed)),
        }
    }
    let how = change(&root, new).map_err(|failed| undo(&moved, failed))?;
    let found = number(&open_folder(Path::new("/"))?, Path::new("/"))?;
    if found == wanted {
        Ok(how)
    } else {
        Err(SwitchError::NotSeen { found, wanted })
    }
}

/// A mount that moves to the new root.
#[derive(Debug)]
struct Move {
    path: PathBuf,
    from: OwnedFd,
    /// The folder below the new root.
    to: OwnedFd,
    /// The folder that it is mounted on.
    back: (OwnedFd, PathBuf),
}

impl Move {
    fn make(&self, from: &OwnedFd, to: &OwnedFd) -> Result<(), MountError> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        let answer = move_mount(from, c"", to, c"", flags);
        answer.map_err(|errno| MountError::new(Call::Move, self.path.display().to_string(), errno))
    }

    /// Where it was is a folder again once it is gone, and reached by its name.
    fn make_back(&self) -> Result<(), MountError> {
        let (folder, name) = &self.back;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        let answer = move_mount(&self.from, c"", folder, name.as_path(), flags);
        answer.map_err(|errno| MountError::new(Call::Move, self.path.display().to_string(), errno))
    }
}

/// `None` where nothing is mounted.
fn one_move(root: &OwnedFd, path: &Path) -> Result<Option<Move>, SwitchError> {
    let from = match open_folder(path) {
        Ok(from) => from,
        Err(SwitchError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !is_mount(&from, path)? {
        return Ok(None);
    }
    let no_place = || SwitchError::NoPlace {
        path: path.to_owned(),
    };
    // Absolute links of the new root lead to places in it, not to those of the old one.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let to = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let to = to.map_err(|_errno| no_place())?;
    let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(no_place)?;
    let back = (open_folder(parent)?, PathBuf::from(name));
    let path = path.to_owned();
    Ok(Some(Move {
        path,
        from,
        to,
        back,
    }))
}

/// Moves everything back, the last first.
fn undo(moved: &[&Move], failed: MountError) -> SwitchError {
    for one in moved.iter().rev() {
        if let Err(undo) = one.make_back() {
            let path = one.path.clone();
            let undo = Box::new(undo);
            return SwitchError::NotMovedBack { failed, path, undo };
        }
    }
    SwitchError::Mount(failed)
}

fn change(root: &OwnedFd, new: &Path) -> Result<RootSwitch, MountError> {
    let failed = |call, errno: Errno| MountError::new(call, new.display().to_string(), errno);
    fchdir(root).map_err(|errno| failed(Call::Pivot, errno))?;
    // Both paths are the new root: the old one is put on top of it, from where it is detached.
    match pivot_root(c".", c".") {
        Ok(()) => {
            unmount(c".", UnmountFlags::DETACH).map_err(|errno| failed(Call::Detach, errno))?;
            chdir(c"/").map_err(|errno| failed(Call::Pivot, errno))?;
            Ok(RootSwitch::Pivoted)
        }
        Err(Errno::INVAL) => {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            let moved = move_mount(root, c"", CWD, c"/", flags);
            moved.map_err(|errno| failed(Call::Pivot, errno))?;
            chroot(c".").map_err(|errno| failed(Call::Pivot, errno))?;
            chdir(c"/").map_err(|errno| failed(Call::Pivot, errno))?;
            Ok(RootSwitch::MovedOver)
        }
        Err(errno) => Err(failed(Call::Pivot, errno)),
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, SwitchError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    open(path, flags, Mode::empty()).map_err(|errno| SwitchError::Open {
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn is_mount(folder: impl AsFd, path: &Path) -> Result<bool, MountError> {
    let found = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
    let found =
        found.map_err(|errno| MountError::new(Call::Number, path.display().to_string(), errno))?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn number(folder: impl AsFd, path: &Path) -> Result<MountId, MountError> {
    let id = MountId::of(folder);
    id.map_err(|errno| MountError::new(Call::Number, path.display().to_string(), errno))
}
