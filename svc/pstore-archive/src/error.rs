//! What goes wrong with an archive.

use std::io;
use std::path::{Path, PathBuf};

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder.
    #[error("failed to {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The manifest of a boot is not JSON, or not as it must be.
    #[error("failed to read the manifest {}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The manifest of a boot is of a newer version.
    #[error("the manifest {} is of format {found}, this program reads up to {supported}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// What is read here.
        supported: u32,
    },
    /// A boot that is not in the archive.
    #[error("no boot {wanted:?} in the archive")]
    NoBoot {
        /// What was asked for.
        wanted: String,
    },
    /// A copy is not what was copied.
    #[error("{} has changed since it was collected: its SHA-256 is {found}, not {expected}", path.display())]
    Changed {
        /// The copy.
        path: PathBuf,
        /// What it hashes to.
        found: String,
        /// What it did.
        expected: String,
    },
}

impl Error {
    /// For `map_err`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
