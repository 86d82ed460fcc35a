//! Looking through a folder.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};

use crate::error::Error;
use crate::numbered::{FOLDER, Numbered};
use crate::tree::{Entry, Kind};

/// Names in a folder at most, and folders inside each other.
const MAX_ENTRIES: usize = 16_384;
const MAX_DEPTH: usize = 64;

/// Something in a folder that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its name.
    pub path: PathBuf,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

/// What is in a folder.
pub(crate) struct Found {
    /// With the file where there is one that is not kept yet; its item has no name yet.
    pub(crate) entries: Vec<(Entry, Option<OwnedFd>)>,
    pub(crate) problems: Vec<Problem>,
}

/// Looks through everything below `root`. Sockets and pipes are left out: a program that is started
/// again makes them again, and nobody is at their other end.
pub(crate) fn scan(
    path: &Path,
    root: &OwnedFd,
    linked: &BTreeMap<String, Numbered>,
) -> Result<Found, Error> {
    let at = |errno: rustix::io::Errno| Error::io("reading the folder", path, errno.into());
    let mut scan = Scan {
        path,
        device: fstat(root).map_err(at)?.st_dev,
        linked,
        found: Found {
            entries: Vec::new(),
            problems: Vec::new(),
        },
    };
    scan.folder(root.as_fd(), "", 0)
        .map_err(|error| Error::io("reading the folder", path, error))?;
    Ok(scan.found)
}

struct Scan<'a> {
    path: &'a Path,
    device: u64,
    linked: &'a BTreeMap<String, Numbered>,
    found: Found,
}

impl Scan<'_> {
    fn problem(&mut self, path: &str, why: impl Into<String>) {
        self.found.problems.push(Problem {
            path: self.path.join(path),
            why: why.into(),
        });
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            self.problem(path, format!("is in more than {MAX_DEPTH} folders"));
            return Ok(());
        }
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(text) = name.to_str() else {
                let name = name.to_string_lossy().into_owned();
                self.problem(&join(path, &name), "has a name that is not UTF-8");
                continue;
            };
            if self.found.entries.len() >= MAX_ENTRIES {
                self.problem("", format!("has more than {MAX_ENTRIES} names"));
                return Ok(());
            }
            self.name(folder, name, join(path, text), depth)?;
        }
        Ok(())
    }

    fn name(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: String,
        depth: usize,
    ) -> io::Result<()> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_dev != self.device {
            self.problem(&path, "is another file system mounted there");
            return Ok(());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.push(entry(&stat, path.clone(), Kind::Folder), None);
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
                let inner = openat(folder, name, flags, Mode::empty())?;
                return self.folder(inner.as_fd(), &path, depth + 1);
            }
            FileType::RegularFile => self.file(folder, name, path, &stat)?,
            FileType::Symlink => self.link(folder, name, path, &stat)?,
            FileType::Socket | FileType::Fifo => {}
            _ => self.problem(&path, "is a device"),
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry, file: Option<OwnedFd>) {
        self.found.entries.push((entry, file));
    }

    fn file(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: String,
        stat: &Stat,
    ) -> io::Result<()> {
        if stat.st_nlink > 1 {
            let text = format!(
                "has {} names (hard links), of which one would be kept",
                stat.st_nlink
            );
            self.problem(&path, text);
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty())?;
        // Asked of the file that was opened: the name may lead to another by now.
        let stat = fstat(&file)?;
        let kind = Kind::File {
            item: String::new(),
            size_bytes: size(&stat),
        };
        self.push(entry(&stat, path, kind), Some(file));
        Ok(())
    }

    fn link(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: String,
        stat: &Stat,
    ) -> io::Result<()> {
        let target = readlinkat(folder, name, Vec::new())?;
        let Ok(target) = target.into_string() else {
            self.problem(&path, "links to a name that is not UTF-8");
            return Ok(());
        };
        let mut linked = self.linked.iter();
        if let Some((item, number)) = linked.find(|(_, number)| number.target() == target) {
            let stat = fstat(number.file())?;
            let kind = Kind::File {
                item: item.clone(),
                size_bytes: size(&stat),
            };
            self.push(entry(&stat, path, kind), None);
        } else if target.starts_with(FOLDER) {
            self.problem(
                &path,
                format!("links to {target}, which is no file of this folder"),
            );
        } else {
            self.push(entry(stat, path, Kind::Link { target }), None);
        }
        Ok(())
    }
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn entry(stat: &Stat, path: String, kind: Kind) -> Entry {
    Entry {
        path,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ),
        kind,
    }
}
