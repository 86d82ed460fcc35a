//! Which file a path of a supervised program names.
//!
//! The program's own folders are walked, through `/proc/TID`: its root, its current folder, its
//! descriptors. Only what can name a file of the emulated machine is walked at all; about everything
//! else the kernel decides, as if we were not there.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};

use notify_sys::Task;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, statat};
use rustix::io::Errno;

use crate::nodes::{self, Node};
use crate::objects::{Held, Objects};

/// `PROC_SUPER_MAGIC` of `include/uapi/linux/magic.h`.
const PROC_MAGIC: i64 = 0x9fa0;
/// Inode of the root of a procfs (`PROC_ROOT_INO`, `include/linux/proc_ns.h`).
const PROC_ROOT: u64 = 1;
/// `MAXSYMLINKS` of `include/linux/namei.h`.
const MAX_LINKS: u32 = 40;
/// Parts of a path, with those of the links in it: no path needs more.
const MAX_PARTS: usize = 8192;

/// A path as a call names it.
pub(crate) struct Place<'a> {
    pub(crate) task: Task,
    /// Where a relative path starts: a descriptor, or `AT_FDCWD`.
    pub(crate) dir: RawFd,
    pub(crate) path: &'a [u8],
    pub(crate) last_link: LastLink,
    /// `RESOLVE_*` of `openat2()`.
    pub(crate) resolve: Resolve,
}

/// How a path may be followed.
pub(crate) type Resolve = rustix::fs::ResolveFlags;

/// What a link at the end of the path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLink {
    /// What it leads to.
    Follow,
    /// The link.
    Itself,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file of the emulated machine.
    Node(Node),
    /// A descriptor of ours: a link of `/proc/PID/fd`.
    Held(Held),
    /// A file of the emulated machine, named as a folder is.
    NoFolder,
    /// Something the kernel knows about.
    Other,
}

impl Place<'_> {
    /// What the path names. What cannot be found out is [`Found::Other`]: the kernel then says what
    /// is wrong with it.
    pub(crate) fn resolve(&self, objects: &Objects) -> Found {
        // Mounts are not looked at.
        if self.resolve.contains(Resolve::NO_XDEV) || !self.may_be_ours() {
            return Found::Other;
        }
        let walk = Walk::start(self, objects);
        match walk.and_then(Walk::run) {
            Ok(Found::Node(_)) if self.path.ends_with(b"/") => Found::NoFolder,
            Ok(found) => found,
            Err(_) => Found::Other,
        }
    }

    /// Whether nothing above `dir` can be reached.
    fn is_dir_root(&self) -> bool {
        self.resolve.intersects(Resolve::IN_ROOT | Resolve::BENEATH)
    }

    /// A quick look: no for nearly every path.
    fn may_be_ours(&self) -> bool {
        let mut parts = self.path.rsplit(|&byte| byte == b'/');
        let name = parts.find(|part| !part.is_empty()).unwrap_or_default();
        if name.is_empty() || name == b"." || name == b".." {
            return false;
        }
        let is_number = name.iter().all(u8::is_ascii_digit);
        if nodes::is_name(name) || is_number {
            return true;
        }
        // What exists and is no link is none of ours, and what does not exist neither.
        self.look().is_some_and(|stat| {
            self.last_link == LastLink::Follow
                && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
        })
    }

    /// The file itself, as the host has it.
    fn look(&self) -> Option<Stat> {
        let tid = self.task.tid().as_raw_nonzero();
        let is_from_root = self.path.starts_with(b"/") && !self.is_dir_root();
        let mut path = if is_from_root {
            format!("/proc/{tid}/root")
        } else if self.dir == CWD.as_raw_fd() {
            format!("/proc/{tid}/cwd/")
        } else {
            format!("/proc/{tid}/fd/{}/", self.dir)
        }
        .into_bytes();
        let end = self.path.iter().rposition(|&byte| byte != b'/');
        path.extend(self.path.iter().take(end.map_or(0, |end| end + 1)));
        statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()
    }
}

/// A walk under way.
struct Walk<'a> {
    task: Task,
    objects: &'a Objects,
    last_link: LastLink,
    resolve: Resolve,
    /// The caller's root.
    top: OwnedFd,
    /// What the path does not leave.
    root: OwnedFd,
    /// The folder reached.
    at: OwnedFd,
    /// What comes below it and does not exist.
    missing: Vec<Vec<u8>>,
    /// What is still to come, in reverse.
    parts: Vec<Vec<u8>>,
    links: u32,
}

impl<'a> Walk<'a> {
    fn start(place: &Place<'_>, objects: &'a Objects) -> Result<Self, Errno> {
        let tid = place.task.tid().as_raw_nonzero();
        let base = || {
            if place.dir == CWD.as_raw_fd() {
                open_path(format!("/proc/{tid}/cwd"))
            } else {
                open_path(format!("/proc/{tid}/fd/{}", place.dir))
            }
        };
        if place.resolve.contains(Resolve::BENEATH) && place.path.starts_with(b"/") {
            return Err(Errno::XDEV);
        }
        let top = open_path(format!("/proc/{tid}/root"))?;
        let root = if place.is_dir_root() {
            base()?
        } else {
            copy(&top)?
        };
        let at = if place.path.starts_with(b"/") {
            copy(&root)?
        } else {
            base()?
        };
        let mut walk = Self {
            task: place.task,
            objects,
            last_link: place.last_link,
            resolve: place.resolve,
            top,
            root,
            at,
            missing: Vec::new(),
            parts: Vec::new(),
            links: 0,
        };
        walk.push(place.path)?;
        Ok(walk)
    }

    /// Puts a path before what is still to come.
    fn push(&mut self, path: &[u8]) -> Result<(), Errno> {
        let parts = path.split(|&byte| byte == b'/');
        let parts = parts.filter(|part| !part.is_empty() && part != b".");
        self.parts.extend(parts.rev().map(<[u8]>::to_vec));
        if self.parts.len() > MAX_PARTS {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(())
    }

    fn run(mut self) -> Result<Found, Errno> {
        while let Some(part) = self.parts.pop() {
            if part == b".." {
                self.up()?;
            } else if !self.missing.is_empty() {
                self.missing.push(part);
            } else if let Some(found) = self.down(part)? {
                return Ok(found);
            }
        }
        let Some(name) = self.missing.pop() else {
            return Ok(Found::Other);
        };
        self.named(&name)
    }

    fn up(&mut self) -> Result<(), Errno> {
        // The kernel does not go up from what is not there.
        if !self.missing.is_empty() {
            return Err(Errno::NOENT);
        }
        let (root, at) = (fstat(&self.root)?, fstat(&self.at)?);
        if (root.st_dev, root.st_ino) != (at.st_dev, at.st_ino) {
            self.at = open_at(&self.at, b"..", OFlags::DIRECTORY)?;
        } else if self.resolve.contains(Resolve::BENEATH) {
            return Err(Errno::XDEV);
        }
        Ok(())
    }

    /// One part further down; the answer when it is found.
    fn down(&mut self, part: Vec<u8>) -> Result<Option<Found>, Errno> {
        let is_last = self.parts.is_empty();
        if let Some(me) = self.proc_self(&part)? {
            self.at = me;
            return Ok(None);
        }
        match read_link(&self.at, &part) {
            Ok(link) => self.link(&part, &link, is_last),
            Err(Errno::NOENT) => {
                self.missing.push(part);
                Ok(None)
            }
            // No link.
            Err(Errno::INVAL) if is_last => self.named(&part).map(Some),
            Err(Errno::INVAL) => {
                self.at = open_at(&self.at, &part, OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    fn link(&mut self, part: &[u8], link: &[u8], is_last: bool) -> Result<Option<Found>, Errno> {
        self.links = self.links.saturating_add(1);
        if self.links > MAX_LINKS || self.resolve.contains(Resolve::NO_SYMLINKS) {
            return Err(Errno::LOOP);
        }
        let is_magic =
            fstatfs(&self.at)?.f_type == PROC_MAGIC && fstat(&self.at)?.st_ino != PROC_ROOT;
        let no_magic = Resolve::NO_MAGICLINKS | Resolve::IN_ROOT | Resolve::BENEATH;
        if is_magic && self.resolve.intersects(no_magic) {
            return Err(Errno::LOOP);
        }
        if is_magic && is_last {
            let held = self.objects.by_link(link);
            return Ok(Some(held.map_or(Found::Other, Found::Held)));
        }
        if is_last && self.last_link == LastLink::Itself {
            return Ok(Some(Found::Other));
        }
        if is_magic {
            // It leads where it leads, whatever its text.
            self.at = open_at(&self.at, part, OFlags::DIRECTORY)?;
            return Ok(None);
        }
        if link.starts_with(b"/") {
            if self.resolve.contains(Resolve::BENEATH) {
                return Err(Errno::XDEV);
            }
            self.at = copy(&self.root)?;
        }
        self.push(link)?;
        Ok(None)
    }

    /// `/proc/self` and `/proc/thread-self` are those of the caller, not ours. Found in our procfs: in
    /// that of a PID namespace below ours it has another number, which need not be told to us.
    fn proc_self(&self, part: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        if part != b"self" && part != b"thread-self" {
            return Ok(None);
        }
        if fstatfs(&self.at)?.f_type != PROC_MAGIC || fstat(&self.at)?.st_ino != PROC_ROOT {
            return Ok(None);
        }
        let tid = self.task.tid().as_raw_nonzero();
        let tgid = self.task.leader().ok_or(Errno::SRCH)?.as_raw_nonzero();
        let path = if part == b"self" {
            format!("/proc/{tgid}")
        } else {
            format!("/proc/{tgid}/task/{tid}")
        };
        open_path(path).map(Some)
    }

    /// A file of this name in the folder reached.
    fn named(&self, name: &[u8]) -> Result<Found, Errno> {
        if !nodes::is_name(name) {
            return Ok(Found::Other);
        }
        let (root, mut folder) = (real_path(&self.top)?, real_path(&self.at)?);
        if root != b"/"
            && let Some(below) = folder.strip_prefix(&root[..])
            && (below.is_empty() || below.starts_with(b"/"))
        {
            folder = below.to_vec();
        }
        if folder == b"/" {
            folder.clear();
        }
        for part in &self.missing {
            folder.push(b'/');
            folder.extend_from_slice(part);
        }
        let found = match nodes::find(&folder, name) {
            // Without a `/dev` there is no device.
            Some(Node::Device) if !self.missing.is_empty() => None,
            found => found,
        };
        Ok(found.map_or(Found::Other, Found::Node))
    }
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
}

fn open_path(path: String) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn open_at(dir: &OwnedFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// The text of a link; one that is longer than a path is none of ours.
fn read_link(dir: &OwnedFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut space = [MaybeUninit::uninit(); 4096];
    let (text, _) = rustix::fs::readlinkat_raw(dir, name, &mut space)?;
    Ok(text.to_vec())
}

/// Where a descriptor of ours leads, without links.
fn real_path(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::readlink(path, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests;
