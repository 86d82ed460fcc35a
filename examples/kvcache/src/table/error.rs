//! Why an arena is no usable table.

use memmap_sys::OutOfRange;

/// What was found in the arena that a table cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The arena is too small for a table.
    #[error("arena of {len} bytes is too small: give at least {min} bytes")]
    TooSmall {
        /// Its size.
        len: u64,
        /// Smallest size.
        min: u64,
    },
    /// There is no table.
    #[error("arena does not start with a table: first word is {found:#018x}")]
    Magic {
        /// First word.
        found: u64,
    },
    /// The table has another layout.
    #[error("arena has layout version {found}, this program knows version {supported}")]
    Version {
        /// Its version.
        found: u64,
        /// Ours.
        supported: u64,
    },
    /// The fixed part of the header changed.
    #[error("header of the arena has checksum {found:#018x}, its content has {computed:#018x}")]
    Checksum {
        /// Stored.
        found: u64,
        /// Computed.
        computed: u64,
    },
    /// A word of the header is not possible.
    #[error("header of the arena has {field} {value:#x}")]
    Header {
        /// Name of the word.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A block or entry is not possible.
    #[error("block at offset {offset:#x} of the arena has {field} {value:#x}")]
    Block {
        /// Where it is.
        offset: u64,
        /// Name of the word.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A chain does not end.
    #[error("chain of bucket {bucket} has more than {limit} entries")]
    Chain {
        /// The bucket.
        bucket: u64,
        /// Entries a chain may have.
        limit: u32,
    },
    /// A count of the header is not what the entries give.
    #[error("header of the arena counts {counted} {field}, there are {found}")]
    Count {
        /// What is counted.
        field: &'static str,
        /// In the header.
        counted: u64,
        /// In the entries.
        found: u64,
    },
    /// An access left the arena.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}
