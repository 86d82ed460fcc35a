//! Replaces what is mounted somewhere, with no moment in which nothing is there.
//!
//! The new tree goes beneath the old one (`MOVE_MOUNT_BENEATH`), the kernel is asked whether it is
//! there, and the old one is detached: whoever looks next sees the new one, and who works in the old
//! one goes on until it is closed. A clone of the old tree is kept meanwhile; when something else than
//! the new tree is seen afterwards, the clone goes back to where the old one was, the same way.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use mount_sys::{MountAttributes, MountId, MountInfo, Reach, statmount};
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, open, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::detached::DetachedMount;
use crate::error::{Call, MountError};

/// What was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// What was there.
    pub old: MountInfo,
    /// What is there.
    pub new: MountInfo,
}

/// Why nothing was replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// A call failed; what was mounted is mounted still.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The path is no mount.
    #[error("replace {}: nothing is mounted right there", path.display())]
    NotAMount {
        /// The path.
        path: PathBuf,
    },
    /// The path is the root folder. Every process has its own idea of that, and would keep it.
    #[error(
        "replace the root folder: every process would keep the old one; it takes pivot_root(2)"
    )]
    Root,
    /// The path cannot be opened.
    #[error("open {}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new tree is not what it should be; what was mounted is mounted still.
    #[error("take the new tree: {why}")]
    Refused {
        /// What its judge said.
        why: String,
    },
    /// The new tree went beneath something else; it was left there, unseen, and the old one untouched.
    #[error("find the new tree beneath the old one: mount {found:?} is")]
    NotBeneath {
        /// What the old one is mounted on.
        found: MountId,
    },
    /// Something else was seen than the new tree, and what was mounted is mounted again.
    #[error("see the new tree: {}; what was mounted is there again", .why)]
    RolledBack {
        /// What was seen.
        why: String,
    },
    /// The same, and it could not be undone.
    #[error("see the new tree, and to put the old one back: {why}")]
    NotRolledBack {
        /// What was seen.
        why: String,
        /// Why it could not be undone.
        #[source]
        undo: MountError,
    },
}

/// Replaces what is mounted at `path`. `judge_fn` looks at the new tree before anybody else sees it, and
/// again, at `path`, once everybody does.
///
/// Mounts below the old one go with it. Whoever has files of the old tree open, or its working folder
/// there, keeps them.
///
/// # Errors
/// [`UpgradeError`] says what is mounted then.
pub fn upgrade(
    path: &Path,
    new: &DetachedMount,
    judge_fn: &dyn Fn(&File) -> Result<(), String>,
) -> Result<Upgraded, UpgradeError> {
    let old = mounted_at(path)?;
    if old.mount_point.as_deref() == Some("/") {
        return Err(UpgradeError::Root);
    }
    let root = open_root(new, path)?;
    judge_fn(&root).map_err(|why| UpgradeError::Refused { why })?;
    drop(root);
    let kept = DetachedMount::clone_of(path, Reach::Tree, MountAttributes::default())?;
    let new_id = new.id()?;
    new.attach_beneath(path)?;
    let below = describe(old.id)?.parent;
    if below != new_id {
        return Err(UpgradeError::NotBeneath { found: below });
    }
    detach(path)?;
    match seen(path, new_id, judge_fn) {
        Ok(new) => Ok(Upgraded { old, new }),
        Err(why) => Err(match roll_back(path, &kept) {
            Ok(()) => UpgradeError::RolledBack { why },
            Err(undo) => UpgradeError::NotRolledBack { why, undo },
        }),
    }
}

/// What is seen at a path, if it is what should be.
fn seen(
    path: &Path,
    wanted: MountId,
    judge_fn: &dyn Fn(&File) -> Result<(), String>,
) -> Result<MountInfo, String> {
    let found = mounted_at(path).map_err(|error| error.to_string())?;
    if found.id != wanted {
        let (found, wanted) = (found.id.number(), wanted.number());
        return Err(format!("mount {found} is there instead of {wanted}"));
    }
    let root = File::open(path).map_err(|error| error.to_string())?;
    judge_fn(&root)?;
    Ok(found)
}

fn roll_back(path: &Path, kept: &DetachedMount) -> Result<(), MountError> {
    kept.attach_beneath(path)?;
    detach(path)
}

fn detach(path: &Path) -> Result<(), MountError> {
    let answer = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    answer.map_err(|errno| MountError::new(Call::Detach, path.display().to_string(), errno))
}

fn describe(id: MountId) -> Result<MountInfo, MountError> {
    statmount(id).map_err(|errno| MountError::new(Call::Describe, id.number().to_string(), errno))
}

/// The mount whose root is at a path.
fn mounted_at(path: &Path) -> Result<MountInfo, UpgradeError> {
    let unopened = |errno: Errno| UpgradeError::Open {
        path: path.to_owned(),
        source: errno.into(),
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let folder = open(path, flags, Mode::empty()).map_err(unopened)?;
    let found = statx(&folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()).map_err(unopened)?;
    if !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let path = path.to_owned();
        return Err(UpgradeError::NotAMount { path });
    }
    let name = path.display().to_string();
    let id = MountId::of(&folder).map_err(|errno| MountError::new(Call::Number, name, errno))?;
    Ok(describe(id)?)
}

/// The root folder of a tree that nobody sees.
fn open_root(new: &DetachedMount, path: &Path) -> Result<File, UpgradeError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let root = rustix::fs::openat(new, c".", flags, Mode::empty());
    let root = root.map_err(|errno| UpgradeError::Open {
        path: path.to_owned(),
        source: errno.into(),
    })?;
    Ok(File::from(root))
}
