//! Notices on their way to one subscriber.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use live_varlink::{Source, Waker};
use luod_api::service::Notice;
use serde_json::Value;

/// More than an update has steps; a subscriber that lets as many wait is not listening.
const MAX_WAITING: usize = 64;

/// Who hears of the steps of updates. Told under the engine's lock: it may not ask the engine anything.
pub(crate) trait Listener: Send + Sync {
    /// Takes a notice, at once.
    fn post(&self, notice: Notice);
}

/// A queue; the other end sends what is in it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<VecDeque<Notice>>,
    waker: Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waiting: Mutex::default(),
            waker,
        }
    }

    fn take(&self) -> Option<Notice> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

impl Listener for Mailbox {
    /// Queues a notice; a full queue drops it, and the barrier names the silent service.
    fn post(&self, notice: Notice) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(notice);
        }
        drop(waiting);
        self.waker.wake();
    }
}

impl Source for Mailbox {
    fn next(&self) -> Option<Value> {
        let notice = self.take()?;
        match serde_json::to_value(&notice) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, ?notice, "a notice cannot be sent");
                None
            }
        }
    }
}
