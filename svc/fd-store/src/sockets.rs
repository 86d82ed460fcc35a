//! Where a program speaks, and where it is passed its descriptors.

use std::fs::Permissions;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::sockopt::{set_socket_passcred, socket_peercred};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::folder::{self, Folder};
use crate::stored::MOST;

/// Longest message (`NOTIFY_BUFFER_MAX`, `src/core/manager.c` of systemd 262).
const LONGEST: usize = 4096;

/// The sockets of one service, in a folder of their own.
#[derive(Debug)]
pub struct Sockets {
    folder: Folder,
    notify: UnixDatagram,
    start: UnixListener,
}

/// A message that came.
#[derive(Debug)]
pub struct Heard {
    /// Who sent it, by the kernel's word; `None` when it did not say.
    pub pid: Option<u32>,
    /// The message.
    pub bytes: Vec<u8>,
    /// Descriptors that came along.
    pub fds: Vec<OwnedFd>,
}

impl Sockets {
    /// Makes them. Their folder is in `/run` where that can be written to, else where temporary files are; what others
    /// that were killed left there is removed.
    ///
    /// # Errors
    /// The folder or a socket cannot be made.
    pub fn new() -> io::Result<Self> {
        let folder = Folder::make()?;
        let notify = UnixDatagram::bind(folder.path().join(folder::NOTIFY))?;
        set_mode(&folder.path().join(folder::NOTIFY), 0o666)?;
        set_socket_passcred(&notify, true)?;
        let start = UnixListener::bind(folder.path().join(folder::START))?;
        Ok(Self {
            folder,
            notify,
            start,
        })
    }

    /// What `$NOTIFY_SOCKET` is for the program.
    pub fn notify_path(&self) -> PathBuf {
        self.folder.path().join(folder::NOTIFY)
    }

    /// Where [`launch`](crate::launch()) gets the descriptors.
    pub fn start_path(&self) -> PathBuf {
        self.folder.path().join(folder::START)
    }

    /// The socket of messages, for the thread that hears.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn hearing(&self) -> io::Result<UnixDatagram> {
        self.notify.try_clone()
    }

    /// Starts to pass descriptors to those who are expected.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn serve_starts(&self) -> io::Result<Arc<Starts>> {
        let starts = Arc::<Starts>::default();
        let (serving, listener) = (Arc::clone(&starts), self.start.try_clone()?);
        thread::Builder::new()
            .name("starts".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    let done = stream.and_then(|stream| serving.serve(&stream));
                    if let Err(error) = done {
                        tracing::warn!(%error, "no descriptors were passed");
                    }
                }
            })?;
        Ok(starts)
    }
}

/// The process that is the service now, and what it is passed when it asks.
#[derive(Debug, Default)]
pub struct Starts {
    expected: Mutex<Expected>,
}

#[derive(Debug, Default)]
struct Expected {
    pid: u32,
    passed: Vec<(String, OwnedFd)>,
}

impl Starts {
    /// Starts the service's process with `spawn_fn`, which gives its number; from then on that process is the service.
    ///
    /// # Errors
    /// Those of `spawn_fn`.
    pub fn start<T, E>(
        &self,
        passed: Vec<(String, OwnedFd)>,
        spawn_fn: impl FnOnce() -> Result<(u32, T), E>,
    ) -> Result<T, E> {
        // Whoever asks waits until it is known who may.
        let mut expected = self.lock();
        let (pid, started) = spawn_fn()?;
        *expected = Expected { pid, passed };
        Ok(started)
    }

    /// Whether this process is the service.
    pub fn is_service(&self, pid: u32) -> bool {
        self.lock().pid == pid
    }

    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the descriptors to the process that is expected, and to no other.
    fn serve(&self, mut stream: &UnixStream) -> io::Result<()> {
        let pid = socket_peercred(stream)?.pid.as_raw_nonzero().get();
        let passed = {
            let mut expected = self.lock();
            if expected.pid != pid.unsigned_abs() {
                let text = format!("process {pid} is not the service");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            std::mem::take(&mut expected.passed)
        };
        let names: Vec<&str> = passed.iter().map(|(name, _)| name.as_str()).collect();
        let names = format!("{}\n", names.join(":"));
        let fds: Vec<_> = passed.iter().map(|(_, fd)| fd.as_fd()).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let data = [IoSlice::new(b"\n")];
        sendmsg(stream, &data, &mut control, SendFlags::NOSIGNAL)?;
        stream.write_all(names.as_bytes())
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

impl Heard {
    /// Waits for a message. One that is too long, or has more descriptors than fit, is an error of its kind; the next
    /// call waits for the next message.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for such a message; what `recvmsg(2)` says.
    pub fn wait(socket: &UnixDatagram) -> io::Result<Self> {
        let mut bytes = vec![0; LONGEST];
        let space = rustix::cmsg_space!(ScmRights(MOST), ScmCredentials(1));
        let mut space = vec![MaybeUninit::uninit(); space];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received =
            rustix::io::retry_on_intr(|| recvmsg(socket, &mut buffers, &mut control, flags))?;
        let mut heard = Self {
            pid: None,
            bytes: Vec::new(),
            fds: Vec::new(),
        };
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(fds) => heard.fds.extend(fds),
                RecvAncillaryMessage::ScmCredentials(cred) => {
                    heard.pid = Some(cred.pid.as_raw_nonzero().get().unsigned_abs());
                }
                _ => {}
            }
        }
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            let text = "a message is too long, or has too many descriptors";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        bytes.truncate(received.bytes);
        heard.bytes = bytes;
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_with_its_sender_and_its_descriptors() {
        let sockets = Sockets::new().unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(sockets.notify_path()).unwrap();
        sender.send(b"READY=1").unwrap();
        sender.send(&[b'x'; LONGEST + 1]).unwrap();
        let file = tempfile::tempfile().unwrap();
        let fds = [file.as_fd(), file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let data = [IoSlice::new(b"FDSTORE=1")];
        sendmsg(&sender, &data, &mut control, SendFlags::empty()).unwrap();

        let socket = sockets.hearing().unwrap();
        let heard = Heard::wait(&socket).unwrap();
        assert_eq!(heard.pid, Some(std::process::id()));
        assert_eq!(
            (heard.bytes.as_slice(), heard.fds.len()),
            (&b"READY=1"[..], 0)
        );
        assert!(Heard::wait(&socket).is_err());
        let heard = Heard::wait(&socket).unwrap();
        assert_eq!(
            (heard.bytes.as_slice(), heard.fds.len()),
            (&b"FDSTORE=1"[..], 2)
        );
    }
}
