//! Why there is no handover.

use std::io;
use std::path::PathBuf;

use handoff::{CollectError, MapError};
use handover::PageIndexError;
use kho::KhoError;
use liveupdate_uapi::SessionName;
use luo::{BootError, Errno};

use crate::machine::MachineError;

/// Why no handover was composed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Content cannot be read.
    #[error("read the content in {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is more content than room.
    #[error("{} has {content_bytes} bytes of content, for a size of {size}", path.display())]
    ContentTooLong {
        /// The file with the content.
        path: PathBuf,
        /// Its length.
        content_bytes: u64,
        /// The size in the plan.
        size: u64,
    },
    /// The engine did not start.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The handover cannot be written, mostly for want of memory.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// The regions cannot be handed over.
    #[error(transparent)]
    Regions(#[from] kho::memblock::RegionError),
    /// The engine refused an FLB.
    #[error("the FLB \"{compatible}\" cannot be linked: {errno}")]
    Flb {
        /// Its name.
        compatible: String,
        /// What the kernel answers.
        errno: Errno,
    },
    /// The engine refused a session.
    #[error("session \"{name}\" cannot be created: {errno}")]
    Session {
        /// Its name.
        name: SessionName,
        /// What the kernel answers.
        errno: Errno,
    },
    /// The engine refused a file.
    #[error(
        "the file with the token {token:#x} of session \"{session}\" cannot be preserved: {errno}"
    )]
    File {
        /// The session.
        session: SessionName,
        /// Its token.
        token: u64,
        /// What the kernel answers.
        errno: Errno,
    },
    /// The engine does not leave.
    #[error("the sessions cannot be frozen: {errno}")]
    Freeze {
        /// What the kernel answers.
        errno: Errno,
    },
    /// The outcome cannot be read back.
    #[error(transparent)]
    Collect(#[from] CollectError),
}

impl ComposeError {
    /// Whether a machine with more memory would have had room for it.
    pub fn is_want_of_memory(&self) -> bool {
        match self {
            Self::Machine(error) => matches!(error, MachineError::NoScratch { .. }),
            Self::Kho(error) => matches!(error, KhoError::NoMemory { .. }),
            Self::Session { errno, .. } | Self::File { errno, .. } | Self::Freeze { errno } => {
                *errno == Errno::ENOMEM
            }
            _ => false,
        }
    }
}

/// Why a folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The index of the pages is wrong.
    #[error("{} is no index of pages", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PageIndexError,
    },
    /// The description is no description.
    #[error("{} does not describe a composed handover", path.display())]
    Description {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The description has another format.
    #[error("{} has format {found}, this program knows {supported}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is known.
        supported: u32,
    },
    /// The ranges in the description are no memory map.
    #[error("{} has no usable memory map", path.display())]
    Map {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The handover cannot be read back from the memory it was composed in.
    #[error(transparent)]
    Collect(#[from] CollectError),
}
