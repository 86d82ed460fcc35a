//! What can go wrong with the disk of a guest.

use std::io;
use std::path::{Path, PathBuf};

/// Failure to make or find a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cache, or a program that makes the image.
    #[error(transparent)]
    Build(#[from] kernel_build::Error),
    /// No image is in the cache.
    #[error("no root file system at {}: build it with `cargo xtask systemd-root`", path.display())]
    NotBuilt {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `debugfs` did not do what it was told.
    #[error("debugfs did not change {}: {said}", path.display())]
    Debugfs {
        /// The image.
        path: PathBuf,
        /// What it wrote on standard error.
        said: String,
    },
    /// No mirror gave the packages.
    #[error("no mirror of this machine's apt gave the packages of {suite}: {}", tried.join("; "))]
    NoMirror {
        /// The suite.
        suite: &'static str,
        /// Each attempt with its last line.
        tried: Vec<String>,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
