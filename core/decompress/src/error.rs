//! Why something cannot be unpacked.

use crate::format::Format;

/// Why something cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It ends in the middle.
    #[error("the {format} stream ends after {found_bytes} bytes, before its end")]
    Truncated {
        /// What it is.
        format: Format,
        /// Bytes that are there.
        found_bytes: usize,
    },
    /// It is damaged, or not what its first bytes say.
    #[error("the {format} stream is damaged at about byte {offset}: {why}")]
    Damaged {
        /// What it claims to be.
        format: Format,
        /// Bytes that were read before it was seen.
        offset: usize,
        /// What is wrong.
        why: String,
    },
    /// What it unpacks to is longer than was allowed.
    #[error("the {format} stream unpacks to more than {limit_bytes} bytes")]
    TooLong {
        /// What it is.
        format: Format,
        /// Bytes that were allowed.
        limit_bytes: usize,
    },
    /// Tools take it and the kernel does not: xz with this check.
    #[error(
        "the xz stream is checked by {check}; the kernel takes CRC32 or none (xz --check=crc32)"
    )]
    XzCheck {
        /// Name of the check.
        check: &'static str,
    },
}
