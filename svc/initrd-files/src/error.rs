//! What keeps an image from being made or looked at.

use std::io;
use std::path::PathBuf;

/// Why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The manifest is none; the message has the place.
    #[error("read the manifest {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A value of the manifest makes no sense.
    #[error("use {name:?} of the manifest: {why}")]
    Value {
        /// The path of the entry, or the name of the key.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name in a folder is no UTF-8, which the manifest and the writer take.
    #[error("take {}: its name or target is no UTF-8", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// The archive refuses an entry.
    #[error("add an entry")]
    Entry(#[from] initrd::Error),
    /// A file had another length when it was read than when it was looked at.
    #[error("copy {}: it changed, {found_bytes} bytes instead of {expected_bytes}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Bytes it had first.
        expected_bytes: u64,
        /// Bytes that were read.
        found_bytes: u64,
    },
    /// Linux stops before the end of the image: what is added behind would not be seen.
    #[error("read the image: Linux stops at byte {offset}: {why}")]
    Refused {
        /// Where.
        offset: usize,
        /// Why.
        why: initrd::Refusal,
    },
    /// The image has no such entry.
    #[error("find {name:?} in the image")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The entry is no file.
    #[error("give the content of {name:?}: it is no file, but {kind:?}")]
    NotAFile {
        /// The name.
        name: String,
        /// What it is.
        kind: initrd::EntryKind,
    },
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
