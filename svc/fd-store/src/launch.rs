//! How a process takes its descriptors and becomes the program.
//!
//! A program finds them from number 3 on, and `$LISTEN_PID` is its own process. Both can be brought about by the process
//! alone, before it becomes the program: that is what this is for.

use std::ffi::OsString;
use std::io::{self, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::stored::MOST;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`, `sd-daemon.h` of systemd 262).
const FIRST: i32 = 3;
/// Longest list of names: as many as there can be, each as long as it can be.
const LONGEST_NAMES: u64 = 64 << 10;

/// Why the program does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Who passes the descriptors cannot be reached.
    #[error("get descriptors from {path}")]
    Socket {
        /// Its socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A number that must be a passed descriptor's is another's: this process inherited something.
    #[error("pass descriptor {expected}: the number is taken, {found} was the next that was free")]
    Taken {
        /// The number.
        expected: i32,
        /// What it would have been.
        found: i32,
    },
    /// There is no program.
    #[error("start nothing")]
    Nothing,
    /// The program cannot be started.
    #[error("start {program:?}")]
    Program {
        /// Its name.
        program: OsString,
        /// Why.
        source: io::Error,
    },
}

/// Takes descriptors from [`Starts`](crate::Starts) at `socket` and becomes the program. Returns only
/// when that fails.
pub fn launch(socket: &Path, words: &[OsString]) -> LaunchError {
    let Some((program, arguments)) = words.split_first() else {
        return LaunchError::Nothing;
    };
    let failed = |source| LaunchError::Socket {
        path: socket.display().to_string(),
        source,
    };
    let (names, fds) = match take(socket) {
        Ok(taken) => taken,
        Err(error) => return failed(error),
    };
    let mut command = Command::new(program);
    command.args(arguments);
    // Kept until the program has them.
    let _placed = match place(fds) {
        Ok(placed) => {
            if !placed.is_empty() {
                command
                    .env("LISTEN_PID", std::process::id().to_string())
                    .env("LISTEN_FDS", placed.len().to_string())
                    .env("LISTEN_FDNAMES", names);
            }
            placed
        }
        Err(error) => return error,
    };
    LaunchError::Program {
        program: program.clone(),
        source: command.exec(),
    }
}

fn take(socket: &Path) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut stream = UnixStream::connect(socket)?;
    let mut byte = [0; 1];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(&stream, &mut buffers, &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    let mut names = String::new();
    stream
        .by_ref()
        .take(LONGEST_NAMES)
        .read_to_string(&mut names)?;
    Ok((names.trim_end_matches('\n').to_owned(), fds))
}

/// Gives them the numbers from [`FIRST`] on, which they came over in the way of.
fn place(fds: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, LaunchError> {
    let above = FIRST.saturating_add(i32::try_from(fds.len()).unwrap_or(i32::MAX));
    let copy = |fd: &OwnedFd, number: i32| {
        fcntl_dupfd_cloexec(fd, number).map_err(|errno| LaunchError::Socket {
            path: format!("descriptor {number}"),
            source: errno.into(),
        })
    };
    let aside: Vec<OwnedFd> = fds
        .iter()
        .map(|fd| copy(fd, above))
        .collect::<Result<_, _>>()?;
    drop(fds);
    let mut placed = Vec::new();
    for (fd, expected) in aside.iter().zip(FIRST..) {
        let fd = copy(fd, expected)?;
        let found = fd.as_raw_fd();
        if found != expected {
            return Err(LaunchError::Taken { expected, found });
        }
        if let Err(errno) = fcntl_setfd(&fd, FdFlags::empty()) {
            let path = format!("descriptor {expected}");
            let source = errno.into();
            return Err(LaunchError::Socket { path, source });
        }
        placed.push(fd);
    }
    Ok(placed)
}
