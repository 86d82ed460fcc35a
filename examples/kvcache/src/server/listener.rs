//! [`Listener`]: where clients connect.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens on a TCP address, `host:port`.
    ///
    /// # Errors
    ///
    /// What the system answers.
    pub fn tcp(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(listener))
    }

    /// Listens on a Unix socket; a socket left over at `path`, which nobody answers on, is
    /// replaced.
    ///
    /// # Errors
    ///
    /// What the system answers; `AddrInUse` when somebody answers there.
    pub fn unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt as _;
        use std::os::unix::net::UnixStream;

        let is_socket = path
            .metadata()
            .is_ok_and(|file| file.file_type().is_socket());
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if is_socket && UnixStream::connect(path).is_err_and(|error| refused(&error)) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener))
    }

    /// Address of a TCP listener.
    #[must_use]
    pub fn tcp_address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Accepts one connection, ready for an event loop.
    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _peer): (TcpStream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // Replies leave whole; waiting for more only adds latency.
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Self::Unix(listener) => {
                let (stream, _peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}
