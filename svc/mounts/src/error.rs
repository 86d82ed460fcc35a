//! [`MountError`]: the call, its errno, and what the kernel said.

use std::fmt;

use rustix::io::Errno;

use crate::log::Message;

/// A call of the mount API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `fsopen(2)`.
    Open,
    /// `fspick(2)`.
    Pick,
    /// `fsconfig(2)` with a parameter.
    Set,
    /// `fsconfig(2)` with `FSCONFIG_CMD_CREATE_EXCL`.
    CreateExclusive,
    /// `fsconfig(2)` with `FSCONFIG_CMD_CREATE`.
    Create,
    /// `fsconfig(2)` with `FSCONFIG_CMD_RECONFIGURE`.
    Reconfigure,
    /// `fsmount(2)`.
    Mount,
    /// `open_tree(2)` or `open_tree_attr(2)`.
    Clone,
    /// `mount_setattr(2)`.
    SetAttributes,
    /// `mount_setattr(2)` with `MOUNT_ATTR_IDMAP`.
    MapIds,
    /// `move_mount(2)`.
    Attach,
    /// `move_mount(2)` with `MOVE_MOUNT_BENEATH`.
    AttachBeneath,
    /// `move_mount(2)` of what is attached.
    Move,
    /// `move_mount(2)` with `MOVE_MOUNT_SET_GROUP`.
    JoinGroup,
    /// `pivot_root(2)`.
    Pivot,
    /// `umount2(2)`.
    Detach,
    /// `statx(2)` for the number of a mount.
    Number,
    /// `statmount(2)`.
    Describe,
}

impl Call {
    const fn words(self) -> &'static str {
        match self {
            Self::Open => "open a context for the file system",
            Self::Pick => "pick the file system mounted at",
            Self::Set => "set the parameter",
            Self::CreateExclusive | Self::Create => "create the file system",
            Self::Reconfigure => "reconfigure the file system",
            Self::Mount => "mount the file system",
            Self::Clone => "clone the tree at",
            Self::SetAttributes => "set the attributes of the mount",
            Self::MapIds => "map the owners on the mount",
            Self::Attach => "attach the mount at",
            Self::AttachBeneath => "attach the mount beneath what is mounted at",
            Self::Move => "move the mount at",
            Self::JoinGroup => "take the mount into the group of that at",
            Self::Pivot => "make the root what is mounted at",
            Self::Detach => "detach what is mounted at",
            Self::Number => "find out the mount of",
            Self::Describe => "describe the mount",
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MountError {
    /// Which call.
    pub call: Call,
    /// What it was about: a parameter, a path.
    pub what: String,
    /// What the call answered.
    pub errno: Errno,
    /// What the kernel wrote into the context's log because of it.
    pub messages: Vec<Message>,
}

impl MountError {
    pub(crate) fn new(call: Call, what: impl Into<String>, errno: Errno) -> Self {
        Self {
            call,
            what: what.into(),
            errno,
            messages: Vec::new(),
        }
    }

    /// What the errno means for this call, where the kernel itself says nothing.
    #[must_use]
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match (self.call, self.errno) {
            (call, Errno::PERM) if call != Call::MapIds => {
                "it takes CAP_SYS_ADMIN in the mount namespace"
            }
            (_, Errno::NOSYS) => "this kernel does not have the call",
            (Call::Open, Errno::NODEV) => "this kernel does not know such a file system",
            (Call::Pick, Errno::INVAL) => "it is not the root of a mount",
            (Call::CreateExclusive, Errno::BUSY) => {
                "it is mounted already, and its parameters would not be ours"
            }
            (Call::Create | Call::CreateExclusive, Errno::NOTBLK) => {
                "the source is no block device"
            }
            (Call::AttachBeneath, Errno::INVAL) => {
                "nothing is mounted right there, or mounts there are shared with others, or the kernel \
                 is older than 6.5; beneath the root it takes 7.1"
            }
            (Call::Create | Call::CreateExclusive | Call::Reconfigure, Errno::INVAL) => {
                "the kernel's own log may say why"
            }
            (Call::Pivot, Errno::INVAL) => {
                "mounts above it or above the root are shared with others; make them private"
            }
            (Call::Move, Errno::INVAL) => "mounts around it are shared with others",
            (Call::JoinGroup, Errno::INVAL) => {
                "they are not of one file system, or the one is in no group, or the other is in one, or the \
                 kernel is older than 5.15"
            }
            (Call::Attach, Errno::INVAL) => "mounts there cannot be added to",
            (Call::MapIds, Errno::INVAL) => {
                "the file system does not map owners, or the mount is attached somewhere"
            }
            (Call::MapIds, Errno::PERM) => {
                "owners of the mount are mapped already, or the user namespace is the first one"
            }
            (Call::SetAttributes, Errno::BUSY) => "a file on it is open for writing",
            _ => return None,
        })
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, errno) = (self.call.words(), self.errno);
        write!(f, "{words} {}: {errno}", self.what)?;
        if let Some(meaning) = self.meaning().filter(|_| self.messages.is_empty()) {
            write!(f, ": {meaning}")?;
        }
        for (index, message) in self.messages.iter().enumerate() {
            let before = if index == 0 {
                "; the kernel says: "
            } else {
                "; "
            };
            write!(f, "{before}{message}")?;
        }
        Ok(())
    }
}
