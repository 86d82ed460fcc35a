//! What goes wrong with a kept folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::scan::Problem;

/// A folder that cannot be kept, or not be placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be worked on.
    #[error("{what}: {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The folder is not on tmpfs: the kernel could not preserve its files.
    #[error(
        "{} is not on tmpfs (its file system is {magic:#x}), and only files of tmpfs can be kept without copying them",
        path.display()
    )]
    NotTmpfs {
        /// The folder.
        path: PathBuf,
        /// `f_type` of `statfs(2)`.
        magic: u32,
    },
    /// Some of its files cannot be kept.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// A file did not come over.
    #[error("{} was taken for an update and is not kept any more", path.display())]
    Lost {
        /// Its name.
        path: PathBuf,
    },
    /// What the folder looked like cannot be read.
    #[error("the description of the folder cannot be read: {what}")]
    Tree {
        /// What is wrong with it.
        what: String,
    },
    /// Whoever keeps the files refused.
    #[error(transparent)]
    Keeping(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
