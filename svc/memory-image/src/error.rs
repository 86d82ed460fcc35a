//! Why an image cannot be used.

use std::error::Error as _;
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
    /// Addresses of memory are not shown.
    #[error("{}: no address of memory: it takes root", path.display())]
    Hidden {
        /// Where they would be.
        path: PathBuf,
    },
    /// A device of memory that memory cannot be read from.
    #[error("{}: memory at {addr:#x} is not shown: CONFIG_STRICT_DEVMEM, or lockdown", path.display())]
    Restricted {
        /// Which.
        path: PathBuf,
        /// The first byte that was asked for.
        addr: u64,
    },
    /// Neither way to the memory of the running kernel leads there.
    #[error("no memory of the running kernel: {}; {}", told(kcore), told(devmem))]
    NotShown {
        /// What is with `/proc/kcore`.
        kcore: Box<ImageError>,
        /// What is with `/dev/mem`.
        devmem: Box<ImageError>,
    },
}

/// An error with its cause.
fn told(error: &ImageError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
