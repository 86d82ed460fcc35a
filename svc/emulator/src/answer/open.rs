//! `open()` and its kin.

use std::os::fd::{AsFd as _, BorrowedFd};

use luo::{Caller as _, Errno};
use notify_sys::{FdTarget, Notification};
use rustix::fs::OFlags;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{EACCES, ENOTDIR, ENXIO, Outcome};
use crate::call::At;
use crate::caller::TaskCaller;
use crate::files::errno;
use crate::generation::Generation;
use crate::inject::{CallName, Effect};
use crate::nodes::Node;
use crate::objects::{Given, Held};
use crate::walk::{Found, LastLink, Place, Resolve};

/// Longest path: `PATH_MAX` with its NUL.
pub(super) const MAX_PATH: usize = 4095;

/// `struct open_how`, `include/uapi/linux/openat2.h`, v7.3.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

impl Generation<'_> {
    pub(super) fn open(
        &mut self,
        call: &Notification,
        at: At,
        flags: u32,
        stalled: Option<Effect>,
    ) -> Outcome {
        self.open_from(
            call,
            at,
            OFlags::from_bits_retain(flags),
            stalled,
            Resolve::empty(),
        )
    }

    pub(super) fn open2(
        &mut self,
        call: &Notification,
        at: At,
        (addr, size): (u64, u64),
        stalled: Option<Effect>,
    ) -> Outcome {
        let mut how = OpenHow::new_zeroed();
        if size < 24 || call.task.read(addr, how.as_mut_bytes()).is_err() {
            // The kernel says what is wrong with it.
            return Outcome::Continue;
        }
        let flags = u32::try_from(how.flags).map(OFlags::from_bits_retain);
        let resolve = Resolve::from_bits(how.resolve);
        let (Ok(flags), Some(resolve)) = (flags, resolve) else {
            return Outcome::Continue;
        };
        self.open_from(call, at, flags, stalled, resolve)
    }

    fn open_from(
        &mut self,
        call: &Notification,
        at: At,
        flags: OFlags,
        stalled: Option<Effect>,
        resolve: Resolve,
    ) -> Outcome {
        let Ok(Some(path)) = call.task.read_c_string(at.path, MAX_PATH) else {
            return Outcome::Continue;
        };
        let is_new = flags.contains(OFlags::CREATE | OFlags::EXCL);
        let last_link = if is_new || flags.contains(OFlags::NOFOLLOW) {
            LastLink::Itself
        } else {
            LastLink::Follow
        };
        let place = Place {
            task: call.task,
            dir: at.dir,
            path: &path,
            last_link,
            resolve,
        };
        match place.resolve(&self.objects) {
            Found::Other => Outcome::Continue,
            Found::NoFolder => Outcome::Fail(ENOTDIR),
            // What a link of procfs leads to is not looked at.
            Found::Held(_) if last_link == LastLink::Itself => Outcome::Continue,
            Found::Node(_) if is_new => Outcome::Fail(Errno::EEXIST),
            // The open of an anonymous inode.
            Found::Held(Held::Session(_)) if flags.contains(OFlags::PATH) => Outcome::Continue,
            Found::Held(Held::Session(_)) => Outcome::Fail(ENXIO),
            Found::Node(Node::Text(text)) => self.open_text(call, text, flags),
            Found::Node(Node::Device) | Found::Held(Held::Device | Held::DevicePath) => {
                self.open_device(call, flags, stalled)
            }
        }
    }

    fn open_device(
        &mut self,
        call: &Notification,
        flags: OFlags,
        stalled: Option<Effect>,
    ) -> Outcome {
        if flags.contains(OFlags::DIRECTORY) {
            return Outcome::Fail(ENOTDIR);
        }
        if flags.contains(OFlags::PATH) {
            return match self.objects.path_fd() {
                Ok(fd) => self.give(call, fd.as_fd(), flags),
                Err(other) => Outcome::Fail(errno(other)),
            };
        }
        if !self.may_use_device(call.task) {
            return Outcome::Fail(EACCES);
        }
        if let Err(outcome) = self.interfere(CallName::Open, stalled) {
            return outcome;
        }
        match self.open_device_now(call) {
            Err(errno) => errno.into(),
            Ok(given) => {
                let outcome = self.give(call, given.fd.as_fd(), flags);
                if !matches!(outcome, Outcome::Answered) {
                    self.objects.take_back(given);
                    self.kernel.luo.release_device();
                }
                outcome
            }
        }
    }

    fn open_device_now(&mut self, call: &Notification) -> Result<Given, Errno> {
        let mut caller = TaskCaller {
            call,
            listener: &self.listener,
            objects: &mut self.objects,
        };
        // The number comes first: EMFILE before EBUSY.
        caller.reserve_fd()?;
        self.kernel.luo.open()?;
        let given = self.objects.make(Held::Device);
        given.map_err(|other| {
            self.kernel.luo.release_device();
            errno(other)
        })
    }

    /// Answers a call with a descriptor.
    pub(super) fn give(&self, call: &Notification, fd: BorrowedFd<'_>, flags: OFlags) -> Outcome {
        let given = if flags.contains(OFlags::CLOEXEC) {
            self.listener.add_fd(call.id, fd, FdTarget::Answer)
        } else {
            self.listener
                .add_inherited_fd(call.id, fd, FdTarget::Answer)
        };
        match given {
            Ok(_number) => Outcome::Answered,
            // To a caller that is gone no answer matters.
            Err(other) => Outcome::Fail(errno(other)),
        }
    }
}
