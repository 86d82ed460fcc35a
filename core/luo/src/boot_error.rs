//! Why LUO does not come up.

use alloc::string::String;

use kho::{FdtError, KhoError};

/// Why LUO does not come up. Where a handover is at fault, Linux panics: going on could leak what
/// belongs to others.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The subtree is damaged, or there is no memory for the next one.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// The blob is too short.
    #[error("the LUO state has {found_bytes} bytes, {wanted_bytes} are needed")]
    Short {
        /// Bytes there are.
        found_bytes: u64,
        /// Bytes of the layout.
        wanted_bytes: u64,
    },
    /// The blob has another layout.
    #[error("the LUO state is \"{found}\", supported is \"{supported}\"")]
    Incompatible {
        /// What it says it is.
        found: String,
        /// The layout of this dialect.
        supported: &'static str,
    },
    /// The table of sessions is damaged.
    #[error("the table of sessions is damaged")]
    Sessions(#[source] KhoError),
    /// The state is no FDT (v4).
    #[error(transparent)]
    Fdt(#[from] FdtError),
    /// A property of the state is missing or has another length (v4).
    #[error("the LUO state has no property {name} of 8 bytes")]
    Property {
        /// Its name.
        name: String,
    },
    /// A session or a file cannot be made of what was received (v4).
    #[error("a session of the LUO state is damaged: {what}")]
    Session {
        /// What is wrong.
        what: &'static str,
    },
}
