//! What goes wrong on the wire.

use std::io;

/// A connection that cannot be used any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The system call failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer hung up inside a message.
    #[error("the peer hung up after {bytes} bytes of a message")]
    Truncated {
        /// Bytes of the unfinished message.
        bytes: usize,
    },
    /// A message longer than any of ours.
    #[error("the peer sent a message of more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More descriptors than any message of ours carries.
    #[error("the peer sent more than {limit} descriptors with a message")]
    TooManyDescriptors {
        /// The limit.
        limit: usize,
    },
    /// Descriptors whose message is unknown.
    #[error("the peer sent descriptors with a message and did not wait for the answer")]
    UnclearDescriptors,
    /// No JSON, or not of a message.
    #[error("the peer sent a message that cannot be understood")]
    Json(#[from] serde_json::Error),
    /// The peer hung up where an answer was due.
    #[error("the peer hung up without an answer")]
    Closed,
}
