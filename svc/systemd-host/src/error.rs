//! What goes wrong between a service and systemd.

use std::io;
use std::path::PathBuf;

use live_varlink::CallError;

/// Failure of something asked of systemd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `NOTIFY_SOCKET` did not take a message.
    #[error("systemd did not take {what}")]
    Notify {
        /// What was sent.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The store takes no more.
    #[error("{count} descriptors are stored, which is all that FileDescriptorStoreMax= allows")]
    StoreFull {
        /// Descriptors in it.
        count: usize,
    },
    /// A file cannot be opened once more.
    #[error("a file that is stored already cannot be opened once more")]
    Open {
        /// Why.
        source: io::Error,
    },
    /// systemd has not worked off what it was sent.
    #[error("systemd did not work off what it was sent within {seconds} s")]
    Busy {
        /// Time that was given.
        seconds: u64,
    },
    /// The descriptors of the store were not passed as they should be.
    #[error(transparent)]
    Passed(#[from] listen_sys::Error),
    /// A file of the kernel cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A Varlink call failed.
    #[error("{method} failed")]
    Call {
        /// The method.
        method: &'static str,
        /// Why.
        #[source]
        source: Box<CallError>,
    },
    /// An answer without what is wanted.
    #[error("the answer to {method} has no {field}")]
    Missing {
        /// The method.
        method: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A lock of logind forbids the shutdown.
    #[error("{who} blocks it: {why}")]
    Blocked {
        /// Who has the lock.
        who: String,
        /// What for.
        why: String,
    },
    /// The host is going down already.
    #[error("another shutdown or sleep is under way")]
    UnderWay,
    /// logind on the bus did not do what it was asked.
    #[error("logind did not answer {what}")]
    Bus {
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<zbus::Error>,
    },
}
