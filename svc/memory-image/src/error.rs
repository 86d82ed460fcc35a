//! Why an image cannot be used.

use std::io;
use std::path::PathBuf;

use handover::PageIndexError;

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index of a folder of pages.
    #[error("{}: the index of the pages", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        source: PageIndexError,
    },
    /// An ELF file that is no dump.
    #[error("{}: not an ELF dump that can be read: {why}", path.display())]
    Elf {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A format that is known and cannot be read here.
    #[error("{}: a compressed dump; unpack it with `makedumpfile -E`", path.display())]
    Compressed {
        /// Which.
        path: PathBuf,
    },
    /// Nothing in it.
    #[error("{}: an empty file", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}
