//! What makes an entry impossible in an archive.

use alloc::string::String;

/// Why an entry was refused; the archive is unchanged by a refused entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is empty, absolute, or has an empty, `.` or `..` component or a NUL byte.
    #[error("the name {name:?} is not a plain relative path: write it like `etc/hosts`")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// The name with its final NUL does not fit in `PATH_MAX` (4096): the kernel would skip it.
    #[error("a name of {len} bytes is longer than the 4095 that the kernel takes")]
    NameTooLong {
        /// Length of the name in bytes, without a NUL.
        len: usize,
    },
    /// No earlier entry is the folder this one lies in: the kernel would fail to create it.
    #[error("the folder {parent:?} of {name:?} is not in the archive: add it first")]
    MissingFolder {
        /// The entry's name.
        name: String,
        /// The folder that is missing.
        parent: String,
    },
    /// An earlier entry has the same name.
    #[error("the name {name:?} is already in the archive")]
    Duplicate {
        /// The name as given.
        name: String,
    },
    /// The content does not fit in the format's 32-bit size field.
    #[error("{name:?} has {len} bytes; newc holds less than 4 GiB per file")]
    FileTooLarge {
        /// The entry's name.
        name: String,
        /// Length of the content in bytes.
        len: u64,
    },
    /// A symbolic link's target is empty, has a NUL byte, or is longer than `PATH_MAX`.
    #[error("the target of the link {name:?} is empty, has a NUL byte or is longer than 4096")]
    BadTarget {
        /// The entry's name.
        name: String,
    },
    /// More entries than 32-bit inode numbers.
    #[error("the archive has no inode number left")]
    TooManyEntries,
}
