//! The jump.

use std::convert::Infallible;

use rustix::system::RebootCommand;

use crate::error::Error;

/// `reboot(LINUX_REBOOT_CMD_KEXEC)`: freezes every live update session, shuts devices down and
/// starts the loaded kernel. Returns only when that failed.
///
/// Nothing is synced, unmounted or stopped. After the sessions are frozen every other live update
/// call blocks for ever (`liveupdate_reboot`, `kernel/liveupdate/luo_core.c`, v7.3).
///
/// # Errors
/// [`Error::Reboot`]: `EINVAL` with nothing loaded, `EBUSY` during a load, `EPERM`, or what a file
/// handler answered to freeze; then all is as before and the call may be repeated.
pub fn kexec() -> Result<Infallible, Error> {
    match rustix::system::reboot(RebootCommand::Kexec) {
        // The call does not return on success; an emulation that lets it return has not jumped.
        Ok(()) => Err(Error::Reboot {
            errno: rustix::io::Errno::PROTO,
        }),
        Err(errno) => Err(Error::Reboot { errno }),
    }
}
