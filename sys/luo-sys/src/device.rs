//! The device: opened for the moment it is needed.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use liveupdate_uapi::{DEVICE_PATH, SessionName};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Call, Error};
use crate::ioctl;
use crate::session::{Incoming, Outgoing, Session};

/// `/dev/liveupdate`, open. One open file description may exist in the whole system.
///
/// The first open after a live update makes the kernel read what the previous kernel preserved.
#[derive(Debug)]
pub struct Device(OwnedFd);

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// `ENOENT` without the device ([`crate::absence::diagnose`] says why), `EBUSY` while another
    /// program has it open, `EACCES` without root, `EIO` when the handover could not be read.
    pub fn open() -> Result<Self, Error> {
        rustix::fs::open(DEVICE_PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map(Self)
            .map_err(|errno| Error::new(Call::Open, errno))
    }

    /// Opens the device; while another program has it open, tries again until `patience` is over.
    ///
    /// PID 1 of systemd 261 and newer holds it for milliseconds at a time.
    ///
    /// # Errors
    /// As [`Device::open`]; `EBUSY` only after `patience`.
    pub fn open_within(patience: Duration) -> Result<Self, Error> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match Self::open() {
                Err(error) if error.errno() == Errno::BUSY && start.elapsed() < patience => {
                    thread::sleep(pause.min(patience.saturating_sub(start.elapsed())));
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
    }

    /// Creates an outgoing session.
    ///
    /// On 7.3.4 a create that fails with `EEXIST` while the number of outgoing sessions is a
    /// multiple of 51 leaves an empty block behind, and the next kernel panics on it
    /// (`luo_session_insert` grows the block list before it looks for the name): never try a name
    /// that may be taken.
    ///
    /// # Errors
    /// `EEXIST` when an outgoing session has the name, `ENOSPC`, `ENOMEM`, `EMFILE`.
    pub fn create_session(&self, name: &SessionName) -> Result<Session<Outgoing>, Error> {
        ioctl::create_session(&self.0, *name.as_array())
            .map(Session::from_fd)
            .map_err(|errno| Error::new(Call::CreateSession, errno))
    }

    /// Retrieves a session of the previous kernel; works once per session.
    ///
    /// # Errors
    /// `ENOENT` when there is none of this name, `EINVAL` when it was retrieved already.
    pub fn retrieve_session(&self, name: &SessionName) -> Result<Session<Incoming>, Error> {
        ioctl::retrieve_session(&self.0, *name.as_array())
            .map(Session::from_fd)
            .map_err(|errno| Error::new(Call::RetrieveSession, errno))
    }
}
