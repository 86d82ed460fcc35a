//! The answering end of one call.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::wake::Waker;
use crate::channel::Channel;
use crate::error::WireError;
use crate::message::{Request, Response};

/// Answers that come when they come, after the call has returned.
pub trait Source: Send + Sync + 'static {
    /// The next answer, if there is one; called until there is none, after the call and after each
    /// [`Waker::wake`].
    fn next(&self) -> Option<Value>;
}

/// What the caller of a method expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing: `oneway`.
    Nothing,
    /// One answer.
    One,
    /// Any number: `more`.
    Many,
}

/// The answering end of one call.
pub struct Replies<'a> {
    channel: &'a mut Channel,
    expected: Expected,
    waker: &'a Waker,
    source: Option<Arc<dyn Source>>,
}

impl fmt::Debug for Replies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("channel", &self.channel)
            .field("expected", &self.expected)
            .field("is_stream", &self.source.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> Replies<'a> {
    pub(super) fn new(channel: &'a mut Channel, request: &Request, waker: &'a Waker) -> Self {
        let expected = match (request.oneway, request.more) {
            (true, _) => Expected::Nothing,
            (false, true) => Expected::Many,
            (false, false) => Expected::One,
        };
        Self {
            channel,
            expected,
            waker,
            source: None,
        }
    }

    /// Where answers come from from now on, if the call asked for that.
    pub(super) fn into_source(self) -> Option<Arc<dyn Source>> {
        self.source
    }

    /// The last answer.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn done(
        &mut self,
        results: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        let parameters = serde_json::to_value(results)?;
        let response = Response {
            parameters,
            ..Response::default()
        };
        self.send(&response, fds)
    }

    /// One of several answers; a caller that did not ask for several (`more`) is spared it. Carries no
    /// descriptors: it may follow another one unread.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn continues(&mut self, results: &impl Serialize) -> Result<(), WireError> {
        if self.expected != Expected::Many {
            return Ok(());
        }
        let parameters = serde_json::to_value(results)?;
        self.send(&Response::one_of_many(parameters), &[])
    }

    /// An error of the interface.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn error(&mut self, name: &str, parameters: &impl Serialize) -> Result<(), WireError> {
        let parameters = serde_json::to_value(parameters)?;
        let response = Response {
            parameters,
            continues: false,
            error: Some(name.to_owned()),
        };
        self.send(&response, &[])
    }

    /// What a [`Source`] of this call uses to say that it has something.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Leaves the rest of the answers to `source`: they are sent until the peer hangs up, and the
    /// peer may send nothing more. A caller that did not ask for several answers (`more`) gets
    /// `org.varlink.service.ExpectedMore`.
    ///
    /// # Errors
    /// [`WireError`]: the peer is gone.
    pub fn stream(&mut self, source: Arc<dyn Source>) -> Result<(), WireError> {
        if self.expected != Expected::Many {
            return self.error("org.varlink.service.ExpectedMore", &json!({}));
        }
        self.source = Some(source);
        Ok(())
    }

    fn send(&mut self, response: &Response, fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        if self.expected == Expected::Nothing {
            return Ok(());
        }
        self.channel.send(response, fds)
    }
}
