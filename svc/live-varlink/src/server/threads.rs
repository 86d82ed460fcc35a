//! A thread for each of a few connections: an answer takes two switches between processes, and none between threads.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::reactor::{MAX_CALL_BYTES, is_passing, is_shortage, set_up};
use super::wake::{Inbox, Waker};
use super::workers::answer;
use super::{Handler, Peer, ServerInfo};
use crate::channel::Channel;
use crate::error::WireError;

/// Connections at a time; the next one is closed at once.
const MAX_CONNECTIONS: usize = 64;
/// Pause without accepting when descriptors or memory ran out.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// What every thread needs.
struct Shared<H> {
    handler: Arc<H>,
    info: ServerInfo,
    /// Nobody looks into it: there are no streams here.
    inbox: Arc<Inbox>,
    open: AtomicUsize,
}

/// Accepts connections and serves them for ever.
pub(super) fn run<H: Handler>(
    handler: Arc<H>,
    info: ServerInfo,
    listener: &UnixListener,
) -> io::Result<()> {
    let shared = Arc::new(Shared {
        handler,
        info,
        inbox: Arc::new(Inbox::new()?),
        open: AtomicUsize::new(0),
    });
    for number in 0.. {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_shortage(&error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                thread::sleep(SHORTAGE_PAUSE);
                continue;
            }
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error),
        };
        if shared.open.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!("too many connections, one was closed");
            continue;
        }
        let own = Arc::clone(&shared);
        let started = thread::Builder::new()
            .name("connection".to_owned())
            .spawn(move || own.serve(stream, number));
        if let Err(error) = started {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!(%error, "no thread for a connection, it was closed");
        }
    }
    Ok(())
}

impl<H: Handler> Shared<H> {
    /// One connection until it ends.
    fn serve(&self, stream: UnixStream, number: u64) {
        match set_up(&stream, number) {
            Ok(peer) => {
                if let Err(error) = self.answer_all(stream, &peer) {
                    tracing::debug!(pid = peer.pid, uid = peer.uid, %error, "connection ended");
                }
                self.handler.disconnected(&peer);
            }
            Err(error) => tracing::warn!(%error, "a connection could not be set up, it was closed"),
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    fn answer_all(&self, stream: UnixStream, peer: &Peer) -> Result<(), WireError> {
        let waker = Waker::new(Arc::clone(&self.inbox), peer.connection);
        let mut channel = Channel::with_limit(stream, MAX_CALL_BYTES);
        while let Some(frame) = channel.receive()? {
            let (handler, info) = (&*self.handler, &self.info);
            let stream = answer(handler, info, peer, &mut channel, frame, &waker)?;
            if stream.is_some() {
                // It would never send anything.
                return Err(WireError::Closed);
            }
        }
        Ok(())
    }
}
