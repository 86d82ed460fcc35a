//! Descriptors of the device and of sessions that supervised programs have.
//!
//! Each is the write end of a pipe. We keep the read end and are told of a hang-up when the last
//! descriptor of the write end is closed, wherever it was: duplicated, inherited, on its way in a
//! message. A descriptor is known by the inode of its pipe.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::time::Duration;

use luo::SessionId;
use rustix::event::{Timespec, epoll};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// `/dev/liveupdate`.
    Device,
    /// A session.
    Session(SessionId),
    /// The path of the device only: `O_PATH`.
    DevicePath,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A system call waits.
    Call,
    /// The last program under the filter is gone.
    NoCaller,
    /// The program that was started has ended.
    Program,
}

const CALLS: u64 = 0;
const PROGRAM: u64 = 1;
/// Pipes follow, by their inode.
const FIRST_PIPE: u64 = 2;

/// How `/proc/PID/fd/N` shows a descriptor of [`Objects::path_fd`].
const PATH_LINK: &[u8] = b"/memfd:/dev/liveupdate (deleted)";

struct Entry {
    held: Held,
    reader: OwnedFd,
}

/// The descriptors given out, and everything else that is waited for.
pub(crate) struct Objects {
    epoll: OwnedFd,
    by_inode: HashMap<u64, Entry>,
    path_file: OwnedFd,
    /// What hung up and was not asked for yet.
    released: Vec<Held>,
}

impl Objects {
    /// Waits for calls of the listener and for the end of a program.
    pub(crate) fn new(listener: impl AsFd, program: impl AsFd) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let read = epoll::EventFlags::IN;
        epoll::add(&epoll, listener, epoll::EventData::new_u64(CALLS), read)?;
        epoll::add(&epoll, program, epoll::EventData::new_u64(PROGRAM), read)?;
        let path_file = rustix::fs::memfd_create("/dev/liveupdate", MemfdFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            by_inode: HashMap::new(),
            path_file,
            released: Vec::new(),
        })
    }

    /// A new descriptor that stands for `held`, to be given away and then dropped here.
    pub(crate) fn make(&mut self, held: Held) -> Result<Given, Errno> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let inode = rustix::fs::fstat(&reader)?.st_ino;
        let data = epoll::EventData::new_u64(inode.saturating_add(FIRST_PIPE));
        epoll::add(&self.epoll, &reader, data, epoll::EventFlags::IN)?;
        self.by_inode.insert(inode, Entry { held, reader });
        Ok(Given { inode, fd: writer })
    }

    /// Nobody got it after all.
    pub(crate) fn take_back(&mut self, given: Given) {
        self.by_inode.remove(&given.inode);
        drop(given);
    }

    /// A descriptor that stands for the path of the device. It is an open file: descriptors of
    /// `O_PATH` cannot be given to a caller.
    pub(crate) fn path_fd(&self) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.path_file.as_raw_fd());
        openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// What stands behind a link of `/proc/PID/fd`.
    pub(crate) fn by_link(&self, link: &[u8]) -> Option<Held> {
        if link == PATH_LINK {
            return Some(Held::DevicePath);
        }
        let inode = link.strip_prefix(b"pipe:[")?.strip_suffix(b"]")?;
        let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
        self.by_inode.get(&inode).map(|entry| entry.held)
    }

    /// Waits until there is something to do, at most this long; what was released meanwhile comes
    /// from [`Objects::released`].
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<Vec<Ready>, Errno> {
        let timeout = timeout.map(|it| Timespec::try_from(it).unwrap_or_default());
        let mut space = [MaybeUninit::uninit(); 64];
        let (events, _) = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            answer => answer?,
        };
        let mut ready = Vec::new();
        for event in events {
            // The struct is packed.
            let flags = event.flags;
            let has_input = flags.contains(epoll::EventFlags::IN);
            match event.data.u64() {
                CALLS if has_input => ready.push(Ready::Call),
                CALLS => ready.push(Ready::NoCaller),
                PROGRAM => ready.push(Ready::Program),
                pipe => self.pipe(pipe.wrapping_sub(FIRST_PIPE), has_input),
            }
        }
        Ok(ready)
    }

    /// Stops waiting for calls: there will be none any more.
    pub(crate) fn forget_calls(&self, listener: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.epoll, listener)
    }

    /// What was released up to now.
    pub(crate) fn drain(&mut self) -> Result<Vec<Held>, Errno> {
        loop {
            let before = self.released.len();
            self.wait(Some(Duration::ZERO))?;
            if self.released.len() == before {
                return Ok(std::mem::take(&mut self.released));
            }
        }
    }

    fn pipe(&mut self, inode: u64, has_input: bool) {
        if has_input {
            // Somebody writes to it, which Linux refuses: let it not block.
            if let Some(entry) = self.by_inode.get(&inode) {
                let _written = rustix::io::read(&entry.reader, &mut [0; 4096]);
            }
        } else if let Some(entry) = self.by_inode.remove(&inode) {
            self.released.push(entry.held);
        }
    }
}

/// A descriptor to be given away.
pub(crate) struct Given {
    inode: u64,
    /// The descriptor.
    pub(crate) fd: OwnedFd,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> (Objects, [OwnedFd; 4]) {
        let (a, b) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (c, d) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (Objects::new(&a, &c).unwrap(), [a, b, c, d])
    }

    fn link(fd: &OwnedFd) -> Vec<u8> {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlink(path, Vec::new()).unwrap().into_bytes()
    }

    #[test]
    fn the_last_close_releases_and_no_other() {
        let (mut objects, _keep) = objects();
        let given = objects.make(Held::Device).unwrap();
        let copy = given.fd.try_clone().unwrap();
        assert_eq!(objects.by_link(&link(&copy)), Some(Held::Device));
        drop(given);
        assert_eq!(objects.drain().unwrap(), []);
        let text = link(&copy);
        drop(copy);
        assert_eq!(objects.drain().unwrap(), [Held::Device]);
        assert_eq!(objects.drain().unwrap(), []);
        assert_eq!(objects.by_link(&text), None);
    }

    #[test]
    fn what_was_taken_back_is_not_released() {
        let (mut objects, _keep) = objects();
        let given = objects.make(Held::Device).unwrap();
        objects.take_back(given);
        assert_eq!(objects.drain().unwrap(), []);
    }

    #[test]
    fn more_releases_than_one_wait_tells_are_all_drained() {
        let (mut objects, _keep) = objects();
        let given: Vec<_> = (0..200)
            .map(|_| objects.make(Held::Device).unwrap())
            .collect();
        drop(given);
        assert_eq!(objects.drain().unwrap().len(), 200);
    }

    #[test]
    fn a_writer_is_not_blocked_and_releases_nothing() {
        let (mut objects, _keep) = objects();
        let given = objects.make(Held::Device).unwrap();
        rustix::io::write(&given.fd, b"nonsense").unwrap();
        assert_eq!(objects.drain().unwrap(), []);
        assert_eq!(objects.by_link(&link(&given.fd)), Some(Held::Device));
    }

    #[test]
    fn a_path_descriptor_is_known_and_other_files_are_not() {
        let (objects, _keep) = objects();
        let path = objects.path_fd().unwrap();
        assert_eq!(objects.by_link(&link(&path)), Some(Held::DevicePath));
        for text in ["/memfd:x (deleted)", "pipe:[1]", "pipe:[x]", "/dev/null"] {
            assert_eq!(objects.by_link(text.as_bytes()), None, "{text}");
        }
    }
}
