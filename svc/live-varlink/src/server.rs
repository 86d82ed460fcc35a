//! Answering methods.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::Serialize;
use serde_json::{Value, json};

use crate::channel::{Channel, Frame};
use crate::error::WireError;
use crate::message::{Request, Response};

/// Connections at a time; the next one is closed at once.
const MAX_CONNECTIONS: usize = 4096;
/// Stack of a connection's thread: JSON of bounded depth needs little.
const STACK_BYTES: usize = 256 << 10;

/// Who is on the other end, as the kernel says it (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Number of the connection, never used twice.
    pub connection: u64,
    /// Process that connected.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

/// What [`Server`] needs to know to introduce itself.
#[derive(Clone, Copy, Debug)]
pub struct ServerInfo {
    /// Who makes it.
    pub vendor: &'static str,
    /// What it is.
    pub product: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Where to read on.
    pub url: &'static str,
    /// What it answers.
    pub interfaces: &'static [Interface],
}

/// An interface and its definition in Varlink's own language.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Its name.
    pub name: &'static str,
    /// Its definition.
    pub description: &'static str,
}

/// Answers calls.
pub trait Handler: Send + Sync + 'static {
    /// Answers one call through `replies`; an error ends the connection.
    ///
    /// # Errors
    /// Those of sending the answer.
    fn call(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Result<(), WireError>;

    /// A connection ended.
    fn disconnected(&self, peer: &Peer);
}

/// The answering end of one call.
#[derive(Debug)]
pub struct Replies<'a> {
    channel: &'a mut Channel,
}

impl Replies<'_> {
    /// The last answer.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn done(
        &mut self,
        results: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        let parameters = serde_json::to_value(results)?;
        self.channel.send(
            &Response {
                parameters,
                ..Response::default()
            },
            fds,
        )
    }

    /// One of several answers. Carries no descriptors: it may follow another one unread.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn continues(&mut self, results: &impl Serialize) -> Result<(), WireError> {
        let parameters = serde_json::to_value(results)?;
        let response = Response {
            parameters,
            continues: true,
            error: None,
        };
        self.channel.send(&response, &[])
    }

    /// An error of the interface.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn error(&mut self, name: &str, parameters: &impl Serialize) -> Result<(), WireError> {
        let parameters = serde_json::to_value(parameters)?;
        let response = Response {
            parameters,
            continues: false,
            error: Some(name.to_owned()),
        };
        self.channel.send(&response, &[])
    }
}

impl AsFd for Replies<'_> {
    /// The socket: readable when the peer hung up, as nothing else is due from it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// A listening server.
#[derive(Debug)]
pub struct Server<H> {
    handler: Arc<H>,
    info: ServerInfo,
    connections: Arc<AtomicUsize>,
    next_connection: AtomicU64,
}

impl<H: Handler> Server<H> {
    /// A server that answers through `handler`.
    pub fn new(handler: Arc<H>, info: ServerInfo) -> Self {
        let next_connection = AtomicU64::new(1);
        Self {
            handler,
            info,
            connections: Arc::default(),
            next_connection,
        }
    }

    /// Accepts connections for ever.
    ///
    /// # Errors
    /// The listener failed.
    pub fn run(&self, listener: &UnixListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.start(stream),
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of descriptors: nothing gets better by trying at once.
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn start(&self, stream: UnixStream) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(
                limit = MAX_CONNECTIONS,
                "too many connections, one was closed"
            );
            return;
        }
        let number = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let (handler, info) = (Arc::clone(&self.handler), self.info);
        let count = Arc::clone(&self.connections);
        let started = thread::Builder::new()
            .name(format!("connection {number}"))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                connection(&*handler, &info, stream, number);
                count.fetch_sub(1, Ordering::Relaxed);
            });
        if let Err(error) = started {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%error, "no thread for a connection, it was closed");
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(
            Errno::INTR
                | Errno::CONNABORTED
                | Errno::MFILE
                | Errno::NFILE
                | Errno::NOMEM
                | Errno::NOBUFS
        )
    )
}

fn connection<H: Handler>(handler: &H, info: &ServerInfo, stream: UnixStream, number: u64) {
    let peer = match socket_peercred(&stream) {
        Ok(cred) => Peer {
            connection: number,
            pid: cred.pid.as_raw_nonzero().get().unsigned_abs(),
            uid: cred.uid.as_raw(),
        },
        Err(errno) => {
            tracing::warn!(%errno, "a connection without peer credentials was closed");
            return;
        }
    };
    let mut channel = Channel::new(stream);
    let end = serve(handler, info, &peer, &mut channel);
    if let Err(error) = end {
        tracing::debug!(pid = peer.pid, uid = peer.uid, %error, "connection ended");
    }
    handler.disconnected(&peer);
}

fn serve<H: Handler>(
    handler: &H,
    info: &ServerInfo,
    peer: &Peer,
    channel: &mut Channel,
) -> Result<(), WireError> {
    while let Some(Frame { json, fds }) = channel.receive()? {
        let request: Request = serde_json::from_slice(&json)?;
        let mut replies = Replies { channel };
        let (interface, method) = request.split();
        if interface == "org.varlink.service" {
            introspect(info, method, &request.parameters, &mut replies)?;
        } else if info.interfaces.iter().any(|known| known.name == interface) {
            handler.call(peer, &request, fds, &mut replies)?;
        } else {
            let name = "org.varlink.service.InterfaceNotFound";
            replies.error(name, &json!({ "interface": interface }))?;
        }
    }
    Ok(())
}

const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

fn introspect(
    info: &ServerInfo,
    method: &str,
    parameters: &Value,
    replies: &mut Replies<'_>,
) -> Result<(), WireError> {
    match method {
        "GetInfo" => {
            let mut interfaces = vec!["org.varlink.service"];
            interfaces.extend(info.interfaces.iter().map(|interface| interface.name));
            let ServerInfo {
                vendor,
                product,
                version,
                url,
                ..
            } = info;
            let answer = json!({
                "vendor": vendor, "product": product, "version": version, "url": url,
                "interfaces": interfaces,
            });
            replies.done(&answer, &[])
        }
        "GetInterfaceDescription" => {
            let wanted = parameters
                .get("interface")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let known = info
                .interfaces
                .iter()
                .find(|interface| interface.name == wanted);
            let description = match known {
                Some(interface) => interface.description,
                None if wanted == "org.varlink.service" => SERVICE_DESCRIPTION,
                None => {
                    let name = "org.varlink.service.InterfaceNotFound";
                    return replies.error(name, &json!({ "interface": wanted }));
                }
            };
            replies.done(&json!({ "description": description }), &[])
        }
        _ => {
            let name = "org.varlink.service.MethodNotFound";
            replies.error(name, &json!({ "method": method }))
        }
    }
}

#[cfg(test)]
mod tests;
