//! Making names in a folder.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, fchmod,
    fchown, fstat, futimens, mkdirat, openat, openat2, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::COPY_LIMIT_BYTES;
use crate::numbered::{FOLDER, Numbered};
use crate::tree::{Entry, Kind};

/// How a file got its name.
pub(crate) enum Placed {
    /// The name has a file of its own in the folder.
    Here,
    /// The name links to the file.
    Linked(Numbered),
}

/// Opens the folder that a name is in, and its last part. Nothing outside `root` is ever reached,
/// whatever the path says.
pub(crate) fn parent<'p>(root: &OwnedFd, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    if matches!(name, "" | "." | "..") {
        return Err(io::Error::from(Errno::INVAL));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let folder = openat2(root, folder, flags, Mode::empty(), beneath)?;
    Ok((folder, name))
}

fn look(root: &OwnedFd, path: &str) -> io::Result<Option<Stat>> {
    let (folder, name) = match parent(root, path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether there is anything of this name.
pub(crate) fn is_there(root: &OwnedFd, path: &str) -> bool {
    matches!(look(root, path), Ok(Some(_)))
}

/// Whether the name is a link that was made here.
pub(crate) fn is_linked(root: &OwnedFd, path: &str) -> bool {
    let Ok((folder, name)) = parent(root, path) else {
        return false;
    };
    readlinkat(&folder, name, Vec::new())
        .is_ok_and(|target| target.as_bytes().starts_with(FOLDER.as_bytes()))
}

/// Makes a folder or a link of the program's own, unless it is there.
pub(crate) fn make(root: &OwnedFd, entry: &Entry) -> io::Result<()> {
    let (folder, name) = parent(root, &entry.path)?;
    match &entry.kind {
        Kind::Folder => {
            match mkdirat(&folder, name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(&folder, name, flags, Mode::empty())?;
            own(&made, entry)
        }
        Kind::Link { target } => match symlinkat(target, &folder, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        },
        Kind::File { .. } => Ok(()),
    }
}

/// Gives a file its name, unless the name has a file already.
pub(crate) fn file(root: &OwnedFd, entry: &Entry, file: &OwnedFd) -> io::Result<Placed> {
    if let Some(stat) = look(root, &entry.path)? {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink if is_linked(root, &entry.path) => {
                let (folder, name) = parent(root, &entry.path)?;
                unlinkat(&folder, name, AtFlags::empty())?;
                return link(root, entry, file);
            }
            // Its own, whose name was not taken away yet, or another that the program has made since.
            _ => return Ok(Placed::Here),
        }
    }
    let size = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
    match size <= COPY_LIMIT_BYTES {
        true => copy(root, entry, file).map(|()| Placed::Here),
        false => link(root, entry, file),
    }
}

fn link(root: &OwnedFd, entry: &Entry, file: &OwnedFd) -> io::Result<Placed> {
    let (folder, name) = parent(root, &entry.path)?;
    // Retrieved, it belongs to whoever retrieved it.
    own(file, entry)?;
    let number = Numbered::new(file.as_fd())?;
    symlinkat(number.target(), &folder, name)?;
    Ok(Placed::Linked(number))
}

fn copy(root: &OwnedFd, entry: &Entry, file: &OwnedFd) -> io::Result<()> {
    let (folder, name) = parent(root, &entry.path)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut from = File::from(file.try_clone()?);
    from.rewind()?;
    let mut to = File::from(made.try_clone()?);
    let copied = io::copy(&mut from, &mut to).and_then(|_| own(&made, entry));
    if copied.is_err() {
        // Half a file under its name would be taken for the whole one.
        unlinkat(&folder, name, AtFlags::empty())?;
    }
    copied
}

/// Owner, permissions and time as they were.
fn own(file: &OwnedFd, entry: &Entry) -> io::Result<()> {
    let stat = fstat(file)?;
    if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        fchown(
            file,
            Some(Uid::from_raw(entry.uid)),
            Some(Gid::from_raw(entry.gid)),
        )?;
    }
    fchmod(file, Mode::from_raw_mode(entry.mode))?;
    let (seconds, nanoseconds) = entry.mtime;
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(futimens(file, &times)?)
}
