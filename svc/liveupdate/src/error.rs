//! What goes wrong with kept memory.

use std::path::PathBuf;

use luo_sys::NameError;
use luod_api::{ApiError, Refusal};
use rustix::io::Errno;

use crate::spec::Seals;

/// A failed call of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody listens at the agent's socket.
    #[error("luod does not answer at {}; is it running?", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: live_varlink::WireError,
    },
    /// The agent refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection to the agent failed.
    #[error("the connection to luod failed")]
    Connection(#[source] live_varlink::CallError),
    /// The agent's answer lacks a descriptor.
    #[error("luod sent no descriptor with its answer to {method}")]
    NoDescriptor {
        /// What was asked.
        method: &'static str,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] luo_sys::Error),
    /// The session's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What is kept has another layout than this program understands.
    #[error(
        "{item:?} holds schema {kept}, this program understands {wanted}; start a program that does, or forget the item"
    )]
    Schema {
        /// The item.
        item: String,
        /// What is kept.
        kept: u32,
        /// What was asked for.
        wanted: String,
    },
    /// What is kept has another size than asked for.
    #[error(
        "{item:?} has {kept} bytes, {wanted} were asked for; ask for what is kept, or forget the item"
    )]
    Size {
        /// The item.
        item: String,
        /// Bytes kept.
        kept: u64,
        /// Bytes asked for.
        wanted: u64,
    },
    /// What came back is not what was kept.
    #[error("{item:?} came back with {found} bytes, {expected} were kept: do not use it")]
    Changed {
        /// The item.
        item: String,
        /// Bytes kept.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// What came back has other seals than were kept: its size could change under a mapping, or
    /// nothing can be written to it any more.
    #[error("{item:?} came back with seals {:#x}, {:#x} were kept: do not use it", found.bits(), expected.bits())]
    Resealed {
        /// The item.
        item: String,
        /// Seals kept.
        expected: Seals,
        /// Seals found.
        found: Seals,
    },
    /// The item was lost on the way.
    #[error("{item:?} was lost: {reason}; Store::forget it to start anew")]
    Lost {
        /// The item.
        item: String,
        /// Why.
        reason: String,
    },
    /// Items that came over were not asked for: finishing would lose them.
    #[error("{} came over and was not asked for: finishing would lose it; ask for it or discard it", items.join(", "))]
    NotRetrieved {
        /// The items.
        items: Vec<String>,
    },
    /// A direct store was asked for something only the agent has.
    #[error("{what} needs luod: use Store::connect")]
    NeedsLuod {
        /// What was asked for.
        what: &'static str,
    },
    /// A store kept by the agent was asked to preserve by itself.
    #[error("luod preserves this store during `luoctl update`; only a direct store does it itself")]
    LuodDoesIt,
    /// The list of items in a session cannot be read.
    #[error("the list of items in the session cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// A system call on a memfd failed.
    #[error("{call} failed")]
    Memfd {
        /// Its name.
        call: &'static str,
        /// What it answered.
        #[source]
        errno: Errno,
    },
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(refusal) => Self::Refused(refusal),
            ApiError::Connection(source) => Self::Connection(source),
            other => Self::Refused(Refusal::new(luod_api::Code::Internal, other)),
        }
    }
}
