//! Readiness and watchdog (`sd_notify(3)`). Without a service manager nothing is sent.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sd_notify::NotifyState;

use crate::error::Error;

/// How long systemd may take to work off what it was sent.
const BARRIER_PATIENCE: Duration = Duration::from_secs(30);

/// The service works.
///
/// # Errors
/// [`Error::Notify`].
pub fn ready() -> Result<(), Error> {
    send("READY=1", &[NotifyState::Ready], &[])
}

/// The service is alive: to be said more often than [`watchdog`].
///
/// # Errors
/// [`Error::Notify`].
pub fn alive() -> Result<(), Error> {
    send("WATCHDOG=1", &[NotifyState::Watchdog], &[])
}

/// After how long without a sign of life systemd ends this service, if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Waits until systemd has worked off everything sent before (`sd_notify_barrier(3)`).
///
/// # Errors
/// [`Error::Notify`], [`Error::Busy`].
pub fn barrier() -> Result<(), Error> {
    let what = "BARRIER=1";
    let (here, there) = io::pipe().map_err(|source| Error::Notify { what, source })?;
    send(what, &[NotifyState::Custom(what)], &[there.as_fd()])?;
    // systemd's end is the only one from here on; it closes it.
    drop(there);
    let patience = Timespec::try_from(BARRIER_PATIENCE).ok();
    let mut ends = [PollFd::new(&here, PollFlags::empty())];
    loop {
        match poll(&mut ends, patience.as_ref()) {
            Ok(0) => {
                let seconds = BARRIER_PATIENCE.as_secs();
                return Err(Error::Busy { seconds });
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                let source = errno.into();
                return Err(Error::Notify { what, source });
            }
        }
    }
}

pub(crate) fn send(
    what: &'static str,
    state: &[NotifyState<'_>],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let sent = if fds.is_empty() {
        sd_notify::notify(state)
    } else {
        sd_notify::notify_with_fds(state, fds)
    };
    sent.map_err(|source| Error::Notify { what, source })
}
