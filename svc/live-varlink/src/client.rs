//! Calling methods.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::channel::Channel;
use crate::error::WireError;
use crate::message::{Request, Response};

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection failed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The other side answered with an error of its interface.
    #[error("{name} {parameters}")]
    Refused {
        /// Full name of the error.
        name: String,
        /// Its parameters.
        parameters: Value,
    },
}

/// The calling end of a connection.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`WireError::Io`]: nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, WireError> {
        Ok(Self::new(UnixStream::connect(path)?))
    }

    /// Uses a connected socket.
    pub const fn new(stream: UnixStream) -> Self {
        Self {
            channel: Channel::new(stream),
        }
    }

    /// Calls `method` and waits for its one answer.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the error's name and parameters; [`CallError::Wire`].
    pub fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(R, Vec<OwnedFd>), CallError> {
        self.request(method, parameters, fds, Answers::One)?;
        let (answer, fds, _) = self.answer()?;
        Ok((answer, fds))
    }

    /// Calls `method`, whose answers are then read with [`Client::next_answer`].
    ///
    /// # Errors
    /// [`CallError::Wire`].
    pub fn call_more(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), CallError> {
        self.request(method, parameters, fds, Answers::Many)
    }

    /// Sends a call that is not answered. With a descriptor, as many may follow each other as one likes, and a call that is
    /// answered may follow them: the kernel ends a read behind each.
    ///
    /// # Errors
    /// [`WireError`]: the other side is gone. Whether it did what was asked is not told.
    pub fn tell(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        fd: BorrowedFd<'_>,
    ) -> Result<(), WireError> {
        let request = Request {
            method: method.to_owned(),
            parameters: serde_json::to_value(parameters)?,
            oneway: true,
            more: false,
        };
        self.channel.send(&request, &[fd])
    }

    /// The next answer of a call made with [`Client::call_more`]; the flag says whether another
    /// follows.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn next_answer<R: DeserializeOwned>(&mut self) -> Result<(R, bool), CallError> {
        let (answer, _, continues) = self.answer()?;
        Ok((answer, continues))
    }

    fn request(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        fds: &[BorrowedFd<'_>],
        answers: Answers,
    ) -> Result<(), CallError> {
        let parameters = serde_json::to_value(parameters).map_err(WireError::Json)?;
        let more = matches!(answers, Answers::Many);
        let request = Request {
            method: method.to_owned(),
            parameters,
            oneway: false,
            more,
        };
        Ok(self.channel.send(&request, fds)?)
    }

    fn answer<R: DeserializeOwned>(&mut self) -> Result<(R, Vec<OwnedFd>, bool), CallError> {
        let frame = self.channel.receive()?.ok_or(WireError::Closed)?;
        let response: Response = serde_json::from_slice(&frame.json).map_err(WireError::Json)?;
        if let Some(name) = response.error {
            return Err(CallError::Refused {
                name,
                parameters: response.parameters,
            });
        }
        let parameters = match response.parameters {
            // An answer without results may leave its parameters out.
            Value::Null => Value::Object(serde_json::Map::new()),
            other => other,
        };
        let answer = serde_json::from_value(parameters).map_err(WireError::Json)?;
        Ok((answer, frame.fds, response.continues))
    }
}

#[derive(Clone, Copy)]
enum Answers {
    One,
    Many,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
