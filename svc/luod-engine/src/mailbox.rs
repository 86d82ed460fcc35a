//! Notices on their way to one subscriber.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use luod_api::service::Notice;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// More than an update has steps; a subscriber that lets as many wait is not listening.
const MAX_WAITING: usize = 64;

/// A queue that can be polled together with a socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting: Mutex<VecDeque<Notice>>,
    wake: OwnedFd,
}

/// What woke the subscriber's thread.
pub(crate) enum Delivery {
    Notice(Notice),
    /// The subscriber hung up.
    HungUp,
}

impl Mailbox {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            waiting: Mutex::default(),
            wake,
        })
    }

    /// Queues a notice; a full queue drops it, and the barrier names the silent service.
    pub(crate) fn post(&self, notice: Notice) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(notice);
        }
        drop(waiting);
        // Fails only when the counter is full, and then it is readable anyway.
        let _answer = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn take(&self) -> Option<Notice> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// Waits for the next notice or the end of the connection.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>) -> Delivery {
        loop {
            if let Some(notice) = self.take() {
                return Delivery::Notice(notice);
            }
            let mut fds = [
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(socket, PollFlags::IN | PollFlags::RDHUP),
            ];
            if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) {
                return Delivery::HungUp;
            }
            let [wake, socket] = &fds;
            // Whatever a subscriber sends here, it breaks the protocol: nothing is due from it.
            if !socket.revents().is_empty() {
                return Delivery::HungUp;
            }
            if !wake.revents().is_empty() {
                let _answer = rustix::io::read(&self.wake, &mut [0; 8]);
            }
        }
    }
}
