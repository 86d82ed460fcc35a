//! One connection, between calls and while it is a stream.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::Peer;
use super::replies::Source;
use crate::channel::{Channel, Frame, Received, encode};
use crate::error::WireError;
use crate::message::Response;

/// A connected peer.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) channel: Channel,
    /// Set once a call has become a stream.
    pub(super) stream: Option<Stream>,
}

/// Answers under way.
pub(super) struct Stream {
    source: Arc<dyn Source>,
    /// The rest of an answer that the socket did not take yet.
    unsent: Vec<u8>,
}

/// What the socket said.
pub(super) enum Step {
    /// A call.
    Call(Frame),
    /// Nothing to do until the next event.
    Wait,
    /// It is over.
    End,
}

impl Stream {
    pub(super) const fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            unsent: Vec::new(),
        }
    }
}

impl Connection {
    /// Whether it wants to know when the socket takes bytes again.
    pub(super) fn waits_to_send(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| !stream.unsent.is_empty())
    }

    /// Reads what is there.
    pub(super) fn read(&mut self) -> Step {
        if self.stream.is_some() {
            // Whatever a peer sends into a stream, it breaks the protocol: nothing is due from it.
            return Step::End;
        }
        let received = self.channel.receive_now();
        self.step(received)
    }

    fn step(&self, received: Result<Received, WireError>) -> Step {
        match received {
            Ok(Received::Frame(frame)) => Step::Call(frame),
            Ok(Received::Nothing) => Step::Wait,
            Ok(Received::End) => Step::End,
            Err(error) => {
                let Peer { pid, uid, .. } = self.peer;
                tracing::debug!(pid, uid, %error, "connection ended");
                Step::End
            }
        }
    }

    /// Sends what the stream has, as far as the socket takes it.
    pub(super) fn send(&mut self) -> Result<(), WireError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        loop {
            if stream.unsent.is_empty() {
                match stream.source.next() {
                    None => return Ok(()),
                    Some(answer) => stream.unsent = encode(&Response::one_of_many(answer))?,
                }
            }
            match self.channel.send_now(&stream.unsent)? {
                0 => return Ok(()),
                sent => drop(stream.unsent.drain(..sent)),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
