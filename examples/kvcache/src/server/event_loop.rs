//! [`Server`]: the event loop.

use core::fmt;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::connection::{Connection, Life};
use super::control::{Control, Turn};
use super::listener::Listener;
use crate::arena::Arena;
use crate::commands::Statistics;
use crate::resp;
use crate::table::Table;

const LISTENER: u64 = 0;
const CONTROL: u64 = 1;
const FIRST_CONNECTION: u64 = 2;
const EVENTS_AT_ONCE: usize = 256;
/// Connections at most.
const MAX_CONNECTIONS: usize = 4096;

/// Why the event loop cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{call} in the event loop")]
pub struct ServerError {
    call: &'static str,
    source: io::Error,
}

/// A table behind a socket.
pub struct Server<A> {
    listener: Listener,
    table: Table<A>,
    connections: HashMap<u64, Connection>,
    next_token: u64,
    commands: u64,
    first_answer_fn: Option<Box<dyn FnOnce() + Send>>,
    listening: Listening,
}

/// Whether new connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    Yes,
    /// Out of descriptors: not before a connection has closed.
    NoDescriptors,
}

impl<A: Arena> Server<A> {
    /// Makes a server of a table.
    pub fn new(listener: Listener, table: Table<A>) -> Self {
        Self {
            listener,
            table,
            connections: HashMap::new(),
            next_token: FIRST_CONNECTION,
            commands: 0,
            first_answer_fn: None,
            listening: Listening::Yes,
        }
    }

    /// Calls `hook_fn` once, after the first bytes of a reply have been given to the kernel.
    #[must_use]
    pub fn on_first_answer(mut self, hook_fn: impl FnOnce() + Send + 'static) -> Self {
        self.first_answer_fn = Some(Box::new(hook_fn));
        self
    }

    /// Serves until `control` says stop.
    ///
    /// # Errors
    ///
    /// When the event loop itself fails; a failing client only loses its connection.
    pub fn run(&mut self, control: &Control) -> Result<(), ServerError> {
        let result = self.serve(control);
        self.connections.clear();
        control.ended();
        result
    }

    /// Gives the table back.
    pub fn into_table(self) -> Table<A> {
        self.table
    }

    fn serve(&mut self, control: &Control) -> Result<(), ServerError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed("epoll_create"))?;
        for (fd, token) in [
            (self.listener.as_fd(), LISTENER),
            (control.wake_fd(), CONTROL),
        ] {
            epoll::add(&epoll, fd, EventData::new_u64(token), EventFlags::IN)
                .map_err(failed("epoll_ctl"))?;
        }
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            // Between two connections no command is half done.
            if control.is_asked() && control.turn() == Turn::Stop {
                return Ok(());
            }
            events.clear();
            match epoll::wait(&epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(failed("epoll_wait")(error)),
            }
            for event in &events {
                if control.is_asked() {
                    // What is left of this batch is reported again.
                    break;
                }
                let (token, flags) = (event.data.u64(), event.flags);
                match token {
                    CONTROL => control.drain(),
                    LISTENER => self.accept_all(&epoll)?,
                    _ => self.serve_connection(&epoll, token, flags)?,
                }
            }
        }
    }

    fn accept_all(&mut self, epoll: &OwnedFd) -> Result<(), ServerError> {
        loop {
            let socket = match self.listener.accept() {
                Ok(socket) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                        return self.listen(epoll, Listening::NoDescriptors);
                    }
                    // The client is gone already.
                    _ => continue,
                },
            };
            if self.connections.len() >= MAX_CONNECTIONS {
                let mut refusal = Vec::new();
                resp::error(&mut refusal, "ERR max number of clients reached");
                let flags = rustix::net::SendFlags::NOSIGNAL;
                // A courtesy; the connection is closed either way.
                let _courtesy = rustix::net::send(&socket, &refusal, flags);
                continue;
            }
            let token = self.next_token;
            self.next_token += 1;
            let connection = Connection::new(socket);
            let data = EventData::new_u64(token);
            epoll::add(epoll, connection.fd(), data, connection.interest)
                .map_err(failed("epoll_ctl"))?;
            self.connections.insert(token, connection);
        }
    }

    fn serve_connection(
        &mut self,
        epoll: &OwnedFd,
        token: u64,
        flags: EventFlags,
    ) -> Result<(), ServerError> {
        let statistics = Statistics {
            connections: self.connections.len(),
            commands: self.commands,
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return Ok(());
        };
        let before = connection.interest;
        let progress = connection.ready(flags, &mut self.table, statistics);
        self.commands += progress.commands;
        if progress.bytes_written > 0
            && let Some(hook_fn) = self.first_answer_fn.take()
        {
            hook_fn();
        }
        if progress.life == Life::Closed {
            // Closing the descriptor takes it out of the epoll set.
            self.connections.remove(&token);
            return self.listen(epoll, Listening::Yes);
        }
        if connection.interest == before {
            return Ok(());
        }
        let data = EventData::new_u64(token);
        epoll::modify(epoll, connection.fd(), data, connection.interest)
            .map_err(failed("epoll_ctl"))
    }

    /// Starts or stops taking connections.
    fn listen(&mut self, epoll: &OwnedFd, listening: Listening) -> Result<(), ServerError> {
        if self.listening == listening {
            return Ok(());
        }
        self.listening = listening;
        let interest = match listening {
            Listening::Yes => EventFlags::IN,
            Listening::NoDescriptors => EventFlags::empty(),
        };
        let data = EventData::new_u64(LISTENER);
        epoll::modify(epoll, self.listener.as_fd(), data, interest).map_err(failed("epoll_ctl"))
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("connections", &self.connections.len())
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> ServerError {
    move |error| ServerError {
        call,
        source: error.into(),
    }
}
