//! [`Control`]: asking a running server to pause, resume or stop, from another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

/// A handle on a server; clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Wakes the event loop.
    wake: OwnedFd,
    /// Set with every wish, so that the event loop can look for one between two connections.
    asked: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    wanted: Wanted,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Run,
    Pause,
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Paused,
    Ended,
}

/// What the event loop does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Run,
    Stop,
}

/// Why a server did not pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It did not reach the end of its batch in time; the request is withdrawn.
    #[error("server did not pause within {0:?}")]
    TimedOut(Duration),
    /// It has ended.
    #[error("server has ended")]
    Ended,
}

impl Control {
    /// Makes a handle to give to [`Server::run`](super::Server::run).
    ///
    /// # Errors
    ///
    /// When no eventfd can be had.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            shared: Arc::new(Shared {
                wake,
                asked: AtomicBool::new(false),
                state: Mutex::new(State {
                    wanted: Wanted::Run,
                    phase: Phase::Running,
                }),
                changed: Condvar::new(),
            }),
        })
    }

    /// Lets the server finish its commands at hand, then keeps it from touching the arena and
    /// from answering. Returns once it has paused; a server that is not running yet will start
    /// paused.
    ///
    /// # Errors
    ///
    /// When it does not pause in time, or has ended.
    pub fn pause(&self, timeout: Duration) -> Result<(), ControlError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        if state.wanted == Wanted::Run {
            state.wanted = Wanted::Pause;
        }
        self.ask();
        loop {
            match state.phase {
                Phase::Paused => return Ok(()),
                Phase::Ended => return Err(ControlError::Ended),
                Phase::Running => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if state.wanted == Wanted::Pause {
                    state.wanted = Wanted::Run;
                }
                return Err(ControlError::TimedOut(timeout));
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        let mut state = self.lock();
        if state.wanted == Wanted::Pause {
            state.wanted = Wanted::Run;
        }
        self.shared.changed.notify_all();
    }

    /// Makes the server return after its commands at hand, paused or not.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.wanted = Wanted::Stop;
        self.ask();
        self.shared.changed.notify_all();
    }

    /// What the event loop waits for.
    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// Called by the event loop when it was woken through [`wake_fd`](Self::wake_fd).
    pub(super) fn drain(&self) {
        let mut count = [0; 8];
        // The wish itself is in the state; the count only wakes.
        let _empty = rustix::io::read(&self.shared.wake, &mut count);
    }

    /// Whether there is a wish to look at with [`turn`](Self::turn).
    pub(super) fn is_asked(&self) -> bool {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// Called by the event loop between two connections; blocks while paused.
    pub(super) fn turn(&self) -> Turn {
        let mut state = self.lock();
        loop {
            match state.wanted {
                Wanted::Run => {
                    state.phase = Phase::Running;
                    self.shared.asked.store(false, Ordering::Release);
                    return Turn::Run;
                }
                Wanted::Stop => return Turn::Stop,
                Wanted::Pause => {
                    state.phase = Phase::Paused;
                    self.shared.changed.notify_all();
                }
            }
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Called when the event loop returns.
    pub(super) fn ended(&self) {
        self.lock().phase = Phase::Ended;
        self.shared.changed.notify_all();
    }

    /// Makes the event loop look; called with the lock held.
    fn ask(&self) {
        self.shared.asked.store(true, Ordering::Release);
        // Fails only when the counter is full, which wakes as well.
        let _full = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a pair of words: a panic elsewhere leaves it whole.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
