//! The descriptor through which calls arrive and are answered.
//!
//! Soundness: every ioctl has its argument's size in its number, so the kernel reads and writes
//! exactly the struct given, or answers `EINVAL` to a size it does not know
//! (`seccomp_notify_ioctl()`, `kernel/seccomp.c`, v7.3). All structs are plain integers: whatever
//! the kernel writes is a value.
#![expect(
    unsafe_code,
    reason = "an ioctl has no safe form; each obligation is proven here, once"
)]

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::process::Pid;

use crate::task::Task;

/// `SECCOMP_IOC_MAGIC`.
const MAGIC: u8 = b'!';
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (v6.6).
const SYNC_WAKE_UP: u64 = 1;
/// `SECCOMP_ADDFD_FLAG_SETFD`.
const ADDFD_SETFD: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND` (v5.14).
const ADDFD_SEND: u32 = 2;

/// `struct seccomp_notif` with its `struct seccomp_data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawNotification {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawReply {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawAddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

const _: () = {
    assert!(size_of::<RawNotification>() == 80);
    assert!(size_of::<RawReply>() == 24);
    assert!(size_of::<RawAddFd>() == 24);
};

/// An argument of one of the listener's ioctls.
///
/// # Safety
/// The type is plain old data, and `OPCODE` is an ioctl of the listener that takes a pointer to it.
unsafe trait Arg: Copy {
    const OPCODE: Opcode;
}
// SAFETY: `SECCOMP_IOCTL_NOTIF_RECV` takes `struct seccomp_notif`.
unsafe impl Arg for RawNotification {
    const OPCODE: Opcode = opcode::read_write::<Self>(MAGIC, 0);
}
// SAFETY: `SECCOMP_IOCTL_NOTIF_SEND` takes `struct seccomp_notif_resp`.
unsafe impl Arg for RawReply {
    const OPCODE: Opcode = opcode::read_write::<Self>(MAGIC, 1);
}
// SAFETY: `SECCOMP_IOCTL_NOTIF_ADDFD` takes `struct seccomp_notif_addfd`.
unsafe impl Arg for RawAddFd {
    const OPCODE: Opcode = opcode::write::<Self>(MAGIC, 3);
}

/// A call's id, for `SECCOMP_IOCTL_NOTIF_ID_VALID`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
struct Id(u64);
// SAFETY: `SECCOMP_IOCTL_NOTIF_ID_VALID` takes a `__u64`.
unsafe impl Arg for Id {
    const OPCODE: Opcode = opcode::write::<u64>(MAGIC, 2);
}

/// One ioctl: what it answered, and the argument as the kernel left it.
struct Exchange<A>(A);

// SAFETY: `as_ptr` points at a live `A`, which by `Arg` is what the ioctl takes; it may be written.
unsafe impl<A: Arg> Ioctl for Exchange<A> {
    type Output = (IoctlOutput, A);

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        A::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        answer: IoctlOutput,
        argument: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: rustix passes what `as_ptr` gave: a live `A`, for which any bytes are a value.
        let argument = unsafe { argument.cast::<A>().read() };
        Ok((answer, argument))
    }
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names this call at this listener.
    pub id: u64,
    /// Who calls.
    pub task: Task,
    /// Number of the call, of the native ABI.
    pub nr: u32,
    /// Its arguments.
    pub args: [u64; 6],
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The kernel does the call as if there were no listener. Its arguments are read again.
    Continue,
    /// The call returns this.
    Value(i64),
    /// The call fails.
    Error(Errno),
}

/// Where a descriptor is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdTarget {
    /// The lowest free number.
    Lowest,
    /// The lowest free number, which is the answer to the call as well.
    Answer,
    /// This number; what it was is closed.
    At(RawFd),
}

/// Receives and answers the calls a filter sends.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let listener = Self { fd };
        // Only a matter of time; unknown before v6.6.
        let _unknown = listener.wake_in_step();
        listener
    }

    /// Waker and woken run on one processor, one after the other.
    fn wake_in_step(&self) -> Result<(), Errno> {
        const SET_FLAGS: Opcode = opcode::write::<u64>(MAGIC, 4);
        // SAFETY: `SECCOMP_IOCTL_NOTIF_SET_FLAGS` takes its flags as the value of the argument, not
        // as a pointer (`seccomp_notify_set_flags()`, v7.3).
        let flags = unsafe {
            rustix::ioctl::IntegerSetter::<SET_FLAGS>::new_usize(
                usize::try_from(SYNC_WAKE_UP).unwrap_or(0),
            )
        };
        // SAFETY: as above.
        unsafe { ioctl(&self.fd, flags) }
    }

    /// The next call; `None` when whoever made it was killed meanwhile. Waits for one when there is
    /// none.
    ///
    /// # Errors
    /// `EINTR`; `ENOENT` is told as `None`.
    pub fn receive(&self) -> Result<Option<Notification>, Errno> {
        let raw = match self.exchange(RawNotification::default()) {
            Err(Errno::NOENT) => return Ok(None),
            answer => answer?.1,
        };
        // A caller of a process namespace we cannot see has no id here.
        let tid = i32::try_from(raw.pid).ok().and_then(Pid::from_raw);
        let Some(tid) = tid else {
            self.answer(raw.id, Reply::Continue)?;
            return Ok(None);
        };
        Ok(Some(Notification {
            id: raw.id,
            task: Task::new(tid),
            nr: u32::try_from(raw.nr).unwrap_or(u32::MAX),
            args: raw.args,
        }))
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `ENOENT` when whoever made it was killed meanwhile, `EINPROGRESS` when it is answered.
    pub fn answer(&self, id: u64, reply: Reply) -> Result<(), Errno> {
        let mut raw = RawReply {
            id,
            ..RawReply::default()
        };
        match reply {
            Reply::Continue => raw.flags = CONTINUE,
            Reply::Value(value) => raw.val = value,
            Reply::Error(errno) => raw.error = -errno.raw_os_error(),
        }
        self.exchange(raw).map(drop)
    }

    /// Whether a call still waits: as long as it does, the caller's id is the caller's.
    pub fn is_waiting(&self, id: u64) -> bool {
        self.exchange(Id(id)).is_ok()
    }

    /// Puts a close-on-exec duplicate of `fd` into the caller; its number there.
    ///
    /// # Errors
    /// `EMFILE` and what else the caller would be told; `ENOENT` when it was killed meanwhile.
    pub fn add_fd(&self, id: u64, fd: BorrowedFd<'_>, target: FdTarget) -> Result<RawFd, Errno> {
        let close_on_exec = rustix::fs::OFlags::CLOEXEC.bits();
        self.add_fd_with(id, fd, target, close_on_exec)
    }

    /// As [`Listener::add_fd`], for a descriptor that stays open over `execve()`.
    ///
    /// # Errors
    /// As [`Listener::add_fd`].
    pub fn add_inherited_fd(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        target: FdTarget,
    ) -> Result<RawFd, Errno> {
        self.add_fd_with(id, fd, target, 0)
    }

    fn add_fd_with(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        target: FdTarget,
        newfd_flags: u32,
    ) -> Result<RawFd, Errno> {
        let number = |fd: RawFd| u32::try_from(fd).map_err(|_negative| Errno::BADF);
        let (flags, newfd) = match target {
            FdTarget::Lowest => (0, 0),
            FdTarget::Answer => (ADDFD_SEND, 0),
            FdTarget::At(at) => (ADDFD_SETFD, number(at)?),
        };
        let raw = RawAddFd {
            id,
            flags,
            srcfd: number(fd.as_raw_fd())?,
            newfd,
            newfd_flags,
        };
        self.exchange(raw).map(|(answer, _)| answer)
    }

    fn exchange<A: Arg>(&self, argument: A) -> Result<(IoctlOutput, A), Errno> {
        // SAFETY: `Exchange` is proven above to pass what the ioctl takes.
        unsafe { ioctl(&self.fd, Exchange(argument)) }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
