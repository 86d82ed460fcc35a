//! Why a file cannot be read.

use std::io;
use std::path::PathBuf;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Packed in a way that this build cannot unpack.
    #[error("unpack {}: it is packed with {format}, and this program was built without that", path.display())]
    NotSupported {
        /// The file.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
    },
    /// Larger than anything that symbols are in.
    #[error("read {}: more than {maximum_bytes} bytes{}", path.display(), if *.is_packed { " when unpacked" } else { "" })]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        maximum_bytes: u64,
        /// Whether it is packed.
        is_packed: bool,
    },
    /// A section's file has no address in it.
    #[error("read the address in {}: found {found:?}", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// Its content.
        found: String,
    },
    /// All addresses of a module are 0.
    #[error("read addresses in {}: all are 0, the kernel hides them from this reader", path.display())]
    Restricted {
        /// The folder.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
