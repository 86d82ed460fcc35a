//! The thread that waits: for connections, for calls on them, and for what workers give back.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;

use super::connection::{Connection, Step};
use super::wake::{Arrived, Inbox, Returned};
use super::workers::{Job, Workers};
use super::{Handler, Peer, ServerInfo};
use crate::channel::Channel;

/// Connections at a time; the next one is closed at once.
const MAX_CONNECTIONS: usize = 8192;
/// How many of them may be a single user's, unless it is root.
const MAX_CONNECTIONS_OF_A_USER: usize = 4096;
/// Longest call, in bytes: descriptors carry what is large.
pub(super) const MAX_CALL_BYTES: usize = 64 << 10;
/// A peer that takes none of its answer for so long is let go.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Pause without accepting when descriptors or memory ran out.
const SHORTAGE_PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// Events taken at a time.
const EVENTS: usize = 64;

const LISTENER: u64 = 0;
const INBOX: u64 = 1;
/// Number of the first connection.
const FIRST: u64 = 2;

/// The state of the thread.
pub(super) struct Reactor<'l, H> {
    poll: OwnedFd,
    listener: &'l UnixListener,
    /// Not in a shortage.
    accepts: bool,
    inbox: Arc<Inbox>,
    workers: Workers<H>,
    /// Those that wait or stream; the others are with a worker.
    waiting: HashMap<u64, Connection>,
    /// Connections by user, wherever they are.
    by_user: HashMap<u32, usize>,
    next: u64,
}

impl<'l, H: Handler> Reactor<'l, H> {
    pub(super) fn new(
        handler: Arc<H>,
        info: ServerInfo,
        listener: &'l UnixListener,
    ) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::new()?);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let readable = epoll::EventFlags::IN;
        listener.set_nonblocking(true)?;
        epoll::add(
            &poll,
            listener,
            epoll::EventData::new_u64(LISTENER),
            readable,
        )?;
        epoll::add(&poll, &*inbox, epoll::EventData::new_u64(INBOX), readable)?;
        Ok(Self {
            poll,
            listener,
            accepts: true,
            workers: Workers::new(handler, info, Arc::clone(&inbox))?,
            inbox,
            waiting: HashMap::new(),
            by_user: HashMap::new(),
            next: FIRST,
        })
    }

    /// Serves for ever.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let pause = (!self.accepts).then_some(&SHORTAGE_PAUSE);
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.poll, buffer, pause) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if !self.accepts {
                self.accept_again()?;
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    INBOX => {
                        let arrived = self.inbox.take();
                        self.take_in(arrived);
                    }
                    number => self.serve(number, event.flags),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.add(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_shortage(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    epoll::delete(&self.poll, self.listener)?;
                    self.accepts = false;
                    return Ok(());
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn accept_again(&mut self) -> io::Result<()> {
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&self.poll, self.listener, data, epoll::EventFlags::IN)?;
        self.accepts = true;
        Ok(())
    }

    fn add(&mut self, stream: UnixStream) {
        let peer = match set_up(&stream, self.next) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be set up, it was closed");
                return;
            }
        };
        let all: usize = self.by_user.values().sum();
        let own = self.by_user.get(&peer.uid).copied().unwrap_or(0);
        if all >= MAX_CONNECTIONS || (peer.uid != 0 && own >= MAX_CONNECTIONS_OF_A_USER) {
            tracing::warn!(
                all,
                own,
                uid = peer.uid,
                "too many connections, one was closed"
            );
            return;
        }
        self.next += 1;
        *self.by_user.entry(peer.uid).or_default() += 1;
        self.wait_for(Connection {
            peer,
            channel: Channel::with_limit(stream, MAX_CALL_BYTES),
            stream: None,
        });
    }

    /// Watches a connection until something happens on it.
    fn wait_for(&mut self, connection: Connection) {
        let number = connection.peer.connection;
        let data = epoll::EventData::new_u64(number);
        match epoll::add(&self.poll, &connection, data, interest(&connection)) {
            Ok(()) => drop(self.waiting.insert(number, connection)),
            Err(errno) => {
                tracing::warn!(%errno, "a connection could not be watched, it was closed");
                self.workers.submit(Job::End(connection));
            }
        }
    }

    /// Stops watching a connection.
    fn remove(&mut self, number: u64) -> Option<Connection> {
        let connection = self.waiting.remove(&number)?;
        if let Err(errno) = epoll::delete(&self.poll, &connection) {
            tracing::debug!(%errno, number, "was not watched");
        }
        Some(connection)
    }

    /// Something happened on a connection.
    fn serve(&mut self, number: u64, flags: epoll::EventFlags) {
        let Some(connection) = self.waiting.get_mut(&number) else {
            return;
        };
        if flags.contains(epoll::EventFlags::OUT) && connection.send().is_err() {
            return self.end(number);
        }
        if flags.intersects(!epoll::EventFlags::OUT) {
            match connection.read() {
                Step::Wait => {}
                Step::End => return self.end(number),
                Step::Call(frame) => {
                    let connection = self.remove(number);
                    let job = connection.map(|connection| Job::Call(connection, frame));
                    return job.into_iter().for_each(|job| self.workers.submit(job));
                }
            }
        }
        self.watch_again(number);
    }

    fn end(&mut self, number: u64) {
        if let Some(connection) = self.remove(number) {
            self.workers.submit(Job::End(connection));
        }
    }

    /// What to wait for may have changed.
    fn watch_again(&mut self, number: u64) {
        let Some(connection) = self.waiting.get(&number) else {
            return;
        };
        if connection.stream.is_none() {
            return;
        }
        let data = epoll::EventData::new_u64(number);
        if let Err(errno) = epoll::modify(&self.poll, connection, data, interest(connection)) {
            tracing::warn!(%errno, "a connection could not be watched, it was closed");
            self.end(number);
        }
    }

    /// Takes what other threads sent.
    fn take_in(&mut self, arrived: Arrived) {
        for returned in arrived.returned {
            match returned {
                Returned::Ended { uid } => self.forget(uid),
                Returned::Open(connection) => self.take_back(connection),
            }
        }
        for number in arrived.ready {
            let Some(connection) = self.waiting.get_mut(&number) else {
                // Not back yet, and then it is looked at anyway; or gone.
                continue;
            };
            match connection.send() {
                Ok(()) => self.watch_again(number),
                Err(_) => self.end(number),
            }
        }
    }

    fn forget(&mut self, uid: u32) {
        if let Some(count) = self.by_user.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&uid);
            }
        }
    }

    /// A connection comes back from a worker.
    fn take_back(&mut self, mut connection: Connection) {
        if connection.stream.is_some() {
            match connection.send() {
                Ok(()) => self.wait_for(connection),
                Err(_) => self.workers.submit(Job::End(connection)),
            }
            return;
        }
        // A peer may have sent its next call without waiting for this one's answer; it queues behind
        // those of others.
        let step = match connection.channel.has_more() {
            true => connection.read(),
            false => Step::Wait,
        };
        match step {
            Step::Wait => self.wait_for(connection),
            Step::End => self.workers.submit(Job::End(connection)),
            Step::Call(frame) => self.workers.submit(Job::Call(connection, frame)),
        }
    }
}

/// Makes a new connection ready: without credentials nobody knows who speaks; without the patience a peer could hold up
/// a thread for ever.
pub(super) fn set_up(stream: &UnixStream, connection: u64) -> io::Result<Peer> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
    let cred = socket_peercred(stream)?;
    Ok(Peer {
        connection,
        pid: cred.pid.as_raw_nonzero().get().unsigned_abs(),
        uid: cred.uid.as_raw(),
    })
}

fn interest(connection: &Connection) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    flags.set(epoll::EventFlags::OUT, connection.waits_to_send());
    flags
}

/// Nothing gets better by trying at once.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)
    )
}

/// Of one connection, not of the listener.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INTR | Errno::CONNABORTED)
    )
}
