//! Threads that answer calls: as many as calls are under way, none for a connection that waits.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::connection::{Connection, Step, Stream};
use super::introspection;
use super::replies::{Replies, Source};
use super::wake::{Inbox, Returned, Waker};
use super::{Handler, Peer, ServerInfo};
use crate::channel::{Channel, Frame};
use crate::error::WireError;
use crate::message::Request;

/// Calls under way at a time; the others wait.
const MAX_WORKERS: usize = 64;
/// How many of them may be a single user's, unless it is root: root must get through to cancel.
const MAX_WORKERS_OF_A_USER: usize = 32;
/// Stack of a worker: JSON of bounded depth needs little.
const STACK_BYTES: usize = 256 << 10;
/// A worker without a call ends after this time.
const IDLE: Duration = Duration::from_secs(5);

/// A worker waits so long for the next call of a connection that it has answered: whoever has one thing to say often has
/// another, and to hand the connection back and forth takes longer than most calls.
const LINGER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};
/// Calls that a connection may make before it queues behind those of others again.
const CALLS_OF_A_TURN: usize = 16;

/// Work for a thread.
pub(super) enum Job {
    /// A call, and the connection it came from.
    Call(Connection, Frame),
    /// A connection that has ended: the handler is told.
    End(Connection),
}

impl Job {
    const fn uid(&self) -> u32 {
        match self {
            Self::Call(connection, _) | Self::End(connection) => connection.peer.uid,
        }
    }
}

/// The threads.
pub(super) struct Workers<H> {
    pool: Arc<Pool<H>>,
}

struct Pool<H> {
    handler: Arc<H>,
    info: ServerInfo,
    inbox: Arc<Inbox>,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Jobs under way by user.
    busy: HashMap<u32, usize>,
}

impl State {
    /// The oldest job whose user has not yet too many under way.
    fn next(&mut self) -> Option<Job> {
        let may_run = |job: &Job| {
            let uid = job.uid();
            uid == 0
                || self
                    .busy
                    .get(&uid)
                    .is_none_or(|&count| count < MAX_WORKERS_OF_A_USER)
        };
        let place = self.waiting.iter().position(may_run)?;
        let job = self.waiting.remove(place)?;
        *self.busy.entry(job.uid()).or_default() += 1;
        Some(job)
    }

    fn done(&mut self, uid: u32) {
        if let Some(count) = self.busy.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&uid);
            }
        }
    }
}

impl<H: Handler> Workers<H> {
    /// Starts the first thread, which never ends: work is done even when no other can be started.
    pub(super) fn new(handler: Arc<H>, info: ServerInfo, inbox: Arc<Inbox>) -> io::Result<Self> {
        let state = State {
            threads: 1,
            ..State::default()
        };
        let workers = Self {
            pool: Arc::new(Pool {
                handler,
                info,
                inbox,
                state: Mutex::new(state),
                work: Condvar::new(),
            }),
        };
        workers.start_thread()?;
        Ok(workers)
    }

    fn start_thread(&self) -> io::Result<()> {
        let pool = Arc::clone(&self.pool);
        let builder = thread::Builder::new()
            .name("worker".to_owned())
            .stack_size(STACK_BYTES);
        builder.spawn(move || pool.work()).map(drop)
    }

    /// Has a job done.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.pool.lock();
        state.waiting.push_back(job);
        let is_short = state.waiting.len() > state.idle && state.threads < MAX_WORKERS;
        if is_short {
            state.threads += 1;
        }
        drop(state);
        if is_short && let Err(error) = self.start_thread() {
            tracing::warn!(%error, "no further thread: calls wait for those there are");
            self.pool.lock().threads -= 1;
        }
        self.pool.work.notify_one();
    }
}

impl<H: Handler> Pool<H> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.next() {
                drop(state);
                let uid = job.uid();
                self.run(job);
                state = self.lock();
                state.done(uid);
                continue;
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.waiting.is_empty() && state.threads > 1 {
                state.threads -= 1;
                return;
            }
        }
    }

    fn run(&self, job: Job) {
        let (mut connection, mut frame) = match job {
            Job::End(connection) => return self.end(connection),
            Job::Call(connection, frame) => (connection, frame),
        };
        for call in 1.. {
            if let Err(error) = self.answer(&mut connection, frame) {
                let peer = connection.peer;
                tracing::debug!(pid = peer.pid, uid = peer.uid, %error, "connection ended");
                return self.end(connection);
            }
            if connection.stream.is_some() && connection.channel.has_more() {
                connection.stream = None;
                return self.end(connection);
            }
            let may_stay = connection.stream.is_none() && call < CALLS_OF_A_TURN;
            if !may_stay || !has_something(&connection) {
                break;
            }
            frame = match connection.read() {
                Step::Call(frame) => frame,
                Step::Wait => break,
                Step::End => return self.end(connection),
            };
        }
        self.inbox.give_back(Returned::Open(connection));
    }

    /// Tells the handler first: a peer that sees the end may rely on it.
    fn end(&self, connection: Connection) {
        self.handler.disconnected(&connection.peer);
        let uid = connection.peer.uid;
        drop(connection);
        self.inbox.give_back(Returned::Ended { uid });
    }

    fn answer(&self, connection: &mut Connection, frame: Frame) -> Result<(), WireError> {
        let peer = connection.peer;
        let waker = Waker::new(Arc::clone(&self.inbox), peer.connection);
        let source = answer(
            &*self.handler,
            &self.info,
            &peer,
            &mut connection.channel,
            frame,
            &waker,
        )?;
        connection.stream = source.map(Stream::new);
        Ok(())
    }
}

/// Whether there is something to read, now or soon.
fn has_something(connection: &Connection) -> bool {
    if connection.channel.has_more() {
        return true;
    }
    let mut fds = [PollFd::new(connection, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&LINGER)), Ok(1..))
}

/// Answers one call; where further answers come from, if the call asked for that.
pub(super) fn answer<H: Handler>(
    handler: &H,
    info: &ServerInfo,
    peer: &Peer,
    channel: &mut Channel,
    frame: Frame,
    waker: &Waker,
) -> Result<Option<Arc<dyn Source>>, WireError> {
    let Frame { json, fds } = frame;
    let request: Request = serde_json::from_slice(&json)?;
    let mut replies = Replies::new(channel, &request, waker);
    let (interface, method) = request.split();
    let mut known = info.interfaces.iter();
    if interface == introspection::NAME {
        introspection::answer(info, method, &request.parameters, &mut replies)?;
    } else if known.any(|known| known.name == interface) {
        handler.call(peer, &request, fds, &mut replies)?;
    } else {
        let name = "org.varlink.service.InterfaceNotFound";
        replies.error(name, &json!({ "interface": interface }))?;
    }
    Ok(replies.into_source())
}
