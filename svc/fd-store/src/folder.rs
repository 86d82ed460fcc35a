//! The folder of a service's sockets, and what became of those whose process was killed.
//!
//! Its process has a lock on the folder (`flock(2)`), which ends with the process however that ends. So a folder that can
//! be locked, and where nobody listens, is nobody's.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat, flock, fstat, stat, unlinkat};
use rustix::io::Errno;

use crate::sockets::set_mode;

/// What the names of all such folders begin with.
const PREFIX: &str = "luod-run-";
/// Where they are if that can be written to.
const RUN: &str = "/run";
/// The socket of messages.
pub(crate) const NOTIFY: &str = "notify";
/// The socket where descriptors are passed.
pub(crate) const START: &str = "start";

/// A folder of our own; it goes with us.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    /// Locked as long as it is open.
    _lock: OwnedFd,
}

impl Folder {
    /// Makes one, and removes those beside it that are nobody's.
    pub(crate) fn make() -> io::Result<Self> {
        let run = Path::new(RUN);
        match Self::make_in(run) {
            Ok(folder) => {
                tidy(run);
                Ok(folder)
            }
            Err(_not_root) => {
                let other = std::env::temp_dir();
                let folder = Self::make_in(&other)?;
                tidy(&other);
                Ok(folder)
            }
        }
    }

    fn make_in(parent: &Path) -> io::Result<Self> {
        loop {
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(PREFIX).tempdir_in(parent)?;
            // A service may be another user's: it is told by its process who speaks.
            let made = open(folder.path()).and_then(|lock| {
                flock(&lock, FlockOperation::LockExclusive)?;
                Ok(lock)
            });
            match made {
                // Another one may have found it between the two steps, without a lock and so nobody's.
                Ok(lock) if is_at(&lock, folder.path())? => {
                    set_mode(folder.path(), 0o711)?;
                    return Ok(Self {
                        folder,
                        _lock: lock,
                    });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Whether the open folder is the one of this name.
fn is_at(folder: impl AsFd, path: &Path) -> io::Result<bool> {
    let id = |stat: &Stat| (stat.st_dev, stat.st_ino);
    let open = fstat(folder)?;
    match stat(path) {
        Ok(named) => Ok(id(&named) == id(&open)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes the folders in `parent` that are nobody's.
fn tidy(parent: &Path) {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::debug!(%error, "not tidied");
            return;
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        match remove_if_left(&path) {
            Ok(true) => {
                tracing::info!(folder = %path.display(), "of a process that was killed; removed");
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(folder = %path.display(), %error, "left alone"),
        }
    }
}

/// Removes a folder of ours whose process is gone; anything else in it keeps it.
fn remove_if_left(path: &Path) -> io::Result<bool> {
    let folder = open(path)?;
    let is_own = fstat(&folder)?.st_uid == rustix::process::geteuid().as_raw();
    if !is_own {
        return Ok(false);
    }
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    }
    // One without a lock that is somebody's all the same answers here.
    if is_answered(&path.join(START))? {
        return Ok(false);
    }
    for name in [NOTIFY, START] {
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    fs::remove_dir(path)?;
    Ok(true)
}

fn is_answered(socket: &PathBuf) -> io::Result<bool> {
    match UnixStream::connect(socket) {
        Ok(_stream) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(false),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    /// What a killed process leaves: both sockets, nobody behind them, no lock.
    fn leave(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(format!("{PREFIX}{name}"));
        fs::create_dir(&path).unwrap();
        drop(UnixDatagram::bind(path.join(NOTIFY)).unwrap());
        drop(UnixListener::bind(path.join(START)).unwrap());
        path
    }

    #[test]
    fn a_folder_whose_process_was_killed_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let left = leave(parent.path(), "left");
        let empty = parent.path().join(format!("{PREFIX}empty"));
        fs::create_dir(&empty).unwrap();
        tidy(parent.path());
        assert!(!left.exists() && !empty.exists());
    }

    #[test]
    fn a_folder_that_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let locked = Folder::make_in(parent.path()).unwrap();
        let unlocked = leave(parent.path(), "unlocked");
        fs::remove_file(unlocked.join(START)).unwrap();
        let _listener = UnixListener::bind(unlocked.join(START)).unwrap();
        tidy(parent.path());
        assert!(locked.path().exists());
        assert!(unlocked.join(START).exists() && unlocked.join(NOTIFY).exists());
        let path = locked.path().to_owned();
        drop(locked);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_ours_stays() {
        let parent = tempfile::tempdir().unwrap();
        let other_name = parent.path().join("luod-walk-x");
        fs::create_dir(&other_name).unwrap();
        let with_more = leave(parent.path(), "more");
        fs::write(with_more.join("notes"), "mine").unwrap();
        let target = leave(parent.path(), "target");
        let elsewhere = parent.path().join("elsewhere");
        fs::rename(&target, &elsewhere).unwrap();
        symlink(&elsewhere, &target).unwrap();
        tidy(parent.path());
        assert!(other_name.exists());
        assert!(with_more.join("notes").exists());
        assert!(elsewhere.join(START).exists());
    }
}
