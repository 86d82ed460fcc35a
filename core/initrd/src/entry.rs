//! Kinds of entries and the header in front of each.

use alloc::vec::Vec;

/// Magic of a newc header without checksum (`init/initramfs.c`, v7.3: `070701`).
const MAGIC: &[u8; 6] = b"070701";

/// `S_IFDIR`, the file type bits of a folder.
const TYPE_FOLDER: u32 = 0o040_000;
/// `S_IFREG`, of a regular file.
const TYPE_FILE: u32 = 0o100_000;
/// `S_IFLNK`, of a symbolic link.
const TYPE_LINK: u32 = 0o120_000;
/// `S_IFCHR`, of a character device.
const TYPE_CHARACTER: u32 = 0o020_000;
/// `S_IFBLK`, of a block device.
const TYPE_BLOCK: u32 = 0o060_000;

/// `S_IFIFO`, of a named pipe.
const TYPE_FIFO: u32 = 0o010_000;
/// `S_IFSOCK`, of a socket.
const TYPE_SOCKET: u32 = 0o140_000;

/// Permission bits of an entry (`0o7777` at most).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// `rwxr-xr-x`: folders and programs.
    pub const PROGRAM: Self = Self(0o755);
    /// `rw-r--r--`: data.
    pub const DATA: Self = Self(0o644);
    /// `rw-------`: what only root may touch.
    pub const PRIVATE: Self = Self(0o600);

    /// Takes the permission bits of `mode` and drops the rest.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Self {
        Self(mode & 0o7777)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// A device node's kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// What a new entry has besides its name and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub permissions: Permissions,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970; a kernel without `CONFIG_INITRAMFS_PRESERVE_MTIME` takes no notice.
    pub mtime: u32,
}

impl From<Permissions> for Attributes {
    /// Of root, and of no time: the same image whenever it is made.
    fn from(permissions: Permissions) -> Self {
        Self {
            permissions,
            uid: 0,
            gid: 0,
            mtime: 0,
        }
    }
}

/// What a new entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A folder.
    Folder,
    /// A file, whose content follows.
    File {
        /// Bytes of the content.
        bytes: u64,
        /// Its other names; the folders they lie in come before.
        other_names: &'a [&'a str],
    },
    /// A symbolic link to here.
    Symlink(&'a str),
    /// A device node.
    Device(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind<'_> {
    const fn type_bits(&self) -> u32 {
        match self {
            Self::Folder => TYPE_FOLDER,
            Self::File { .. } => TYPE_FILE,
            Self::Symlink(_) => TYPE_LINK,
            Self::Device(Device::Character { .. }) => TYPE_CHARACTER,
            Self::Device(Device::Block { .. }) => TYPE_BLOCK,
            Self::Fifo => TYPE_FIFO,
            Self::Socket => TYPE_SOCKET,
        }
    }

    /// A folder has its entry and its `.`; everything else its names.
    pub(crate) fn link_count(&self) -> u32 {
        match self {
            Self::Folder => 2,
            Self::File { other_names, .. } => {
                let others = u32::try_from(other_names.len()).unwrap_or(u32::MAX);
                others.saturating_add(1)
            }
            Self::Symlink(_) | Self::Device(_) | Self::Fifo | Self::Socket => 1,
        }
    }

    const fn device_number(&self) -> (u32, u32) {
        match self {
            Self::Device(Device::Character { major, minor } | Device::Block { major, minor }) => {
                (*major, *minor)
            }
            Self::Folder | Self::File { .. } | Self::Symlink(_) | Self::Fifo | Self::Socket => {
                (0, 0)
            }
        }
    }
}

/// The numbers of a header that differ from entry to entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    pub(crate) inode: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) link_count: u32,
    pub(crate) mtime: u32,
    pub(crate) device: (u32, u32),
}

impl Header {
    pub(crate) fn new(inode: u32, attributes: Attributes, kind: &Kind<'_>) -> Self {
        Self {
            inode,
            mode: kind.type_bits() | attributes.permissions.bits(),
            uid: attributes.uid,
            gid: attributes.gid,
            link_count: kind.link_count(),
            mtime: attributes.mtime,
            device: kind.device_number(),
        }
    }

    /// Appends the 110 header bytes: the magic and 13 numbers of 8 hexadecimal digits. `name_bytes`
    /// has the NUL in it.
    pub(crate) fn write(&self, name_bytes: u32, content_bytes: u32, out: &mut Vec<u8>) {
        let checksum = 0;
        out.extend_from_slice(MAGIC);
        for number in [
            self.inode,
            self.mode,
            self.uid,
            self.gid,
            self.link_count,
            self.mtime,
            content_bytes,
            0,
            0,
            self.device.0,
            self.device.1,
            name_bytes,
            checksum,
        ] {
            push_hex(number, out);
        }
    }
}

/// Appends `number` as 8 hexadecimal digits.
fn push_hex(number: u32, out: &mut Vec<u8>) {
    for byte in number.to_be_bytes() {
        for nibble in [byte >> 4, byte & 0xf] {
            let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            out.extend_from_slice(digit.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
