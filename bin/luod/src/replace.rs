//! Takes the place of another luod.
//!
//! Killing a luod loses nothing, in whatever phase: what it keeps is with its holder, and the journal with it. So taking
//! its place is ending it and starting as usual. Its services connect again, as after any end of luod.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

/// Time the other one has to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends whoever listens on the socket, if anybody does, and waits until it has ended.
pub(crate) fn end_other(socket: &Path) -> anyhow::Result<()> {
    let Ok(stream) = UnixStream::connect(socket) else {
        return Ok(());
    };
    let peer = socket_peercred(&stream).context("asking who listens")?;
    let number = peer.pid.as_raw_nonzero();
    if peer.uid != geteuid() {
        let user = peer.uid.as_raw();
        bail!(
            "process {number} of user {user} listens on {}",
            socket.display()
        );
    }
    let other = pidfd_open(peer.pid, PidfdFlags::empty())
        .with_context(|| format!("opening process {number}"))?;
    // Its number was not given to somebody else meanwhile: nobody would have accepted otherwise.
    if UnixStream::connect(socket).is_err() {
        return Ok(());
    }
    tracing::info!(pid = number, "ending the luod that is there");
    pidfd_send_signal(&other, Signal::TERM).with_context(|| format!("ending process {number}"))?;
    let mut fds = [PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE)?;
    match poll(&mut fds, Some(&patience))? {
        0 => bail!("process {number} is still there {PATIENCE:?} after it was told to end"),
        _ => Ok(()),
    }
}
