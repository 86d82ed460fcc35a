//! Why nothing was changed.

use mounts::MountError;
use rustix::io::Errno;

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such parameter.
    #[error("set {key:?}: there is no such parameter; there are {}", known.join(", "))]
    UnknownKey {
        /// The name.
        key: String,
        /// Those there are.
        known: &'static [&'static str],
    },
    /// A value makes no sense.
    #[error("set {key} to {value:?}: it takes {wanted}")]
    BadValue {
        /// The parameter.
        key: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// Case folding cannot be switched on while the file system is mounted.
    #[error(
        "switch on casefold: the mounted file system would have no encoding, and the kernel crashes over that; \
         unmount it and use tune2fs"
    )]
    Casefold,
    /// More blocks than half of the file system.
    #[error(
        "reserve {blocks} blocks: the file system has {all}, and at most half of them can be reserved"
    )]
    Reserved {
        /// Blocks.
        blocks: u64,
        /// Blocks of the file system.
        all: u64,
    },
    /// A mount option is unknown, or has a value that is none.
    #[error("store the mount option {option:?}")]
    MountOption {
        /// The option.
        option: String,
        /// What the kernel says.
        source: MountError,
    },
    /// A mount option that needs a journal, and there is none.
    #[error(
        "store the mount option {option:?}: the file system has no journal, and could not be mounted again"
    )]
    NeedsJournal {
        /// The option.
        option: String,
    },
    /// Two values for one parameter.
    #[error("set {key} twice")]
    Twice {
        /// The parameter.
        key: &'static str,
    },
    /// The kernel does not give them.
    #[error("read the parameters: {errno}{}", meaning(*errno))]
    Get {
        /// What it answers.
        errno: Errno,
    },
    /// The kernel does not take them.
    #[error("set the parameters: {errno}{}", meaning(*errno))]
    Set {
        /// What it answers.
        errno: Errno,
    },
}

fn meaning(errno: Errno) -> &'static str {
    match errno {
        Errno::NOTTY => ": it is no ext4, or the kernel is older than 6.18",
        Errno::PERM => ": it takes CAP_SYS_ADMIN",
        Errno::ROFS => ": it is mounted read-only",
        Errno::BUSY => ": it is being resized",
        _ => "",
    }
}
