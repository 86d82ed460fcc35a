//! How other threads reach the one that waits for events.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::connection::Connection;

/// What comes back from a worker.
pub(super) enum Returned {
    /// A connection whose call is answered, or that is a stream now.
    Open(Connection),
    /// One of this user has ended.
    Ended { uid: u32 },
}

/// Everything that was sent since the last look.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) returned: Vec<Returned>,
    /// Streams that have something to send.
    pub(super) ready: Vec<u64>,
}

/// The way to the thread that waits.
pub(super) struct Inbox {
    arrived: Mutex<Arrived>,
    /// Readable when something arrived.
    bell: OwnedFd,
}

impl Inbox {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            arrived: Mutex::default(),
            bell,
        })
    }

    pub(super) fn give_back(&self, returned: Returned) {
        self.put(|arrived| arrived.returned.push(returned));
    }

    fn put(&self, change: impl FnOnce(&mut Arrived)) {
        change(&mut self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        // Fails only when the counter is full, and then it is readable anyway.
        let _answer = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    pub(super) fn take(&self) -> Arrived {
        // Before the look: what comes after it rings again. Fails only when nothing rang.
        let _answer = rustix::io::read(&self.bell, &mut [0; 8]);
        std::mem::take(&mut self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Says that a [`super::Source`] has something.
#[derive(Clone, Default)]
pub struct Waker {
    /// Nobody listens without.
    stream: Option<(Arc<Inbox>, u64)>,
}

impl Waker {
    pub(super) const fn new(inbox: Arc<Inbox>, connection: u64) -> Self {
        Self {
            stream: Some((inbox, connection)),
        }
    }

    /// Has [`super::Source::next`] called soon, by another thread.
    pub fn wake(&self) {
        if let Some((inbox, connection)) = &self.stream {
            inbox.put(|arrived| arrived.ready.push(*connection));
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.stream.as_ref().map(|(_, connection)| connection);
        f.debug_struct("Waker")
            .field("connection", &connection)
            .finish_non_exhaustive()
    }
}
