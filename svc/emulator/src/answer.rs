//! Answers to the calls of supervised programs.

mod device;
mod kexec;
mod open;
mod path;
mod shmem;
mod text;

use std::io;
use std::time::Duration;

use luo::Errno;
use notify_sys::Notification;

use crate::call::Call;
use crate::caller;
use crate::generation::{Generation, Turn};
use crate::inject::{CallName, Effect};

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The kernel does it.
    Continue,
    /// It returns this.
    Value(i64),
    /// It fails.
    Fail(Errno),
    /// It was answered with a descriptor, or its caller is gone.
    Answered,
    /// It waits until the machine ends.
    Never,
    /// It is looked at again after this time.
    Stall(Effect, Duration),
    /// It ends the generation.
    Turn(Turn),
}

impl From<Errno> for Outcome {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ERESTARTSYS => Self::Never,
            errno => Self::Fail(errno),
        }
    }
}

/// Errors that the engine does not know.
pub(crate) const EPERM: Errno = Errno(1);
pub(crate) const ENXIO: Errno = Errno(6);
pub(crate) const EACCES: Errno = Errno(13);
pub(crate) const ENOTDIR: Errno = Errno(20);
pub(crate) const EADDRNOTAVAIL: Errno = Errno(99);

impl Generation<'_> {
    /// What becomes of a call; `stalled` says what was asked for when it has waited already.
    pub(crate) fn outcome(
        &mut self,
        call: &Notification,
        stalled: Option<Effect>,
    ) -> io::Result<Outcome> {
        let Some(arguments) = Call::read(call) else {
            return Ok(Outcome::Continue);
        };
        Ok(match arguments {
            Call::Open(at, flags) => self.open(call, at, flags, stalled),
            Call::Open2(at, how, size) => self.open2(call, at, (how, size), stalled),
            Call::Stat(at, flags, answer) => self.stat(call, at, flags, answer),
            Call::Statx(at, flags, answer) => self.statx(call, at, flags, answer),
            Call::Fstat(fd, answer) => self.fstat(call, fd, answer),
            Call::Access(at, mode, flags) => self.access(call, at, mode, flags),
            Call::ReadLink(at, answer, size) => self.read_link(call, at, answer, size),
            Call::Xattr(at, flags) => self.xattr(call, at, flags),
            Call::Ioctl(fd, cmd, arg) => self.ioctl(call, fd, cmd, arg, stalled),
            Call::Resize(fd, size) => self.resize(call, fd, size),
            Call::Allocate(fd) => self.allocate(call, fd),
            Call::AddSeals(fd, seals) => self.add_seals(call, fd, seals),
            Call::Uname(answer) => self.uname(call, answer),
            Call::KexecFileLoad(load) => self.kexec_file_load(call, &load, stalled),
            Call::Reboot(magic, magic_2, cmd) => self.reboot(call, [magic, magic_2], cmd, stalled),
        })
    }

    /// Whether something is to be done to a call on purpose: the answer when it is not to be made,
    /// what is to be done behind its back otherwise.
    pub(crate) fn interfere(
        &mut self,
        name: CallName,
        stalled: Option<Effect>,
    ) -> Result<Option<Effect>, Outcome> {
        if stalled.is_some() {
            return Ok(None);
        }
        match self.injected(name) {
            Some(Effect::Fail(errno)) => Err(Outcome::Fail(errno)),
            Some(effect @ Effect::Stall(time)) => Err(Outcome::Stall(effect, time)),
            other => Ok(other),
        }
    }

    /// Writes an answer to the caller's memory.
    pub(crate) fn tell(&self, call: &Notification, addr: u64, bytes: &[u8]) -> Outcome {
        match caller::write(&self.listener, call, addr, bytes) {
            Ok(()) => Outcome::Value(0),
            Err(_fault) => Outcome::Fail(Errno::EFAULT),
        }
    }
}
