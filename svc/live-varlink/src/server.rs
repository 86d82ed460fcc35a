//! Answering methods.
//!
//! One thread waits for all connections; calls are answered by a few others, one at a time for each
//! connection, so that a handler may wait as long as it likes. A connection that has nothing to say
//! costs its descriptor and a few hundred bytes: thousands of services are connected all the time and
//! speak once in weeks.

mod connection;
mod introspection;
mod reactor;
mod replies;
mod threads;
mod wake;
mod workers;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use self::reactor::Reactor;
pub use self::replies::{Replies, Source};
pub use self::wake::Waker;
use crate::error::WireError;
use crate::message::Request;

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

/// A listening server.
#[derive(Debug)]
pub struct Server<H> {
    handler: Arc<H>,
    info: ServerInfo,
}

impl<H: Handler> Server<H> {
    /// A server that answers through `handler`.
    pub const fn new(handler: Arc<H>, info: ServerInfo) -> Self {
        Self { handler, info }
    }

    /// Accepts connections and serves them for ever. The listener does not wait from now on
    /// (`O_NONBLOCK`).
    ///
    /// # Errors
    /// The listener failed, or there is not even one thread.
    pub fn run(&self, listener: &UnixListener) -> io::Result<()> {
        Reactor::new(Arc::clone(&self.handler), self.info, listener)?.run()
    }

    /// The same with a thread for each connection, for a server with few of them, whose calls take no time and have
    /// one answer: a connection whose call is answered by a [`Source`] ends.
    ///
    /// # Errors
    /// The listener failed.
    pub fn run_with_threads(&self, listener: &UnixListener) -> io::Result<()> {
        threads::run(Arc::clone(&self.handler), self.info, listener)
    }
}

#[cfg(test)]
mod tests;
