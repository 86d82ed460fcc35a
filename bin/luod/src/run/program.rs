//! The supervised program.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Happening;
use super::descriptors::Descriptors;

/// A running program, whose end is told.
pub(super) struct Program {
    pid: u32,
    /// Of this process only, whatever its number is used for later.
    handle: OwnedFd,
}

impl Program {
    /// Starts it. It inherits the descriptors that names in its folder link to, those that it stored, and no others.
    pub(super) fn start(
        words: &[OsString],
        folder: &Path,
        descriptors: Option<&Descriptors>,
        sender: Sender<Happening>,
    ) -> anyhow::Result<Self> {
        let (name, arguments) = words.split_first().context("no program")?;
        let context = || format!("starting {}", Path::new(name).display());
        let spawn = |mut command: Command| {
            let child = command.env("LIVEUPDATE_DIR", folder).spawn();
            let child = child.with_context(context)?;
            Ok((child.id(), child))
        };
        let mut child = match descriptors {
            Some(descriptors) => descriptors.start(|| spawn(descriptors.command(words)))?,
            None => {
                let mut command = Command::new(name);
                command.args(arguments);
                spawn(command)?.1
            }
        };
        let pid = child.id();
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.context("a process without a number")?;
        // Nobody else waits for it, so the number is still its own, even if it has ended.
        let handle = pidfd_open(raw, PidfdFlags::empty()).with_context(context)?;
        let wait = move || match child.wait() {
            // Nobody listens when this process is about to end.
            Ok(status) => drop(sender.send(Happening::Ended(status))),
            Err(error) => tracing::error!(%error, "the program's end cannot be waited for"),
        };
        thread::Builder::new()
            .name("program".to_owned())
            .spawn(wait)?;
        Ok(Self { pid, handle })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; one that has ended by itself needs none.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("signalling process {}", self.pid)),
        }
    }
}

/// The program's own, or 128 and its signal as shells have it.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
