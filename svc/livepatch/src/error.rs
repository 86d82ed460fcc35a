//! What can go wrong with files.

use std::io;
use std::path::PathBuf;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no object that this program understands.
    #[error("understand {}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Why.
        source: elf_index::Error,
    },
}
