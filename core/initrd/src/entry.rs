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

/// Permission bits of an entry (`0o7777` at most; owner and group are always root).
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

/// What one entry is, with its content.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    Folder,
    File(&'a [u8]),
    Link(&'a [u8]),
    Device(Device),
    /// The end mark: no type, no permissions, no inode.
    End,
}

impl<'a> Kind<'a> {
    /// Bytes that follow the name.
    pub(crate) const fn content(&self) -> &'a [u8] {
        match self {
            Self::File(bytes) | Self::Link(bytes) => bytes,
            Self::Folder | Self::Device(_) | Self::End => &[],
        }
    }

    const fn type_bits(&self) -> u32 {
        match self {
            Self::Folder => TYPE_FOLDER,
            Self::File(_) => TYPE_FILE,
            Self::Link(_) => TYPE_LINK,
            Self::Device(Device::Character { .. }) => TYPE_CHARACTER,
            Self::Device(Device::Block { .. }) => TYPE_BLOCK,
            Self::End => 0,
        }
    }

    /// A folder has its entry and its `.`; everything else one name (hard links are not written).
    const fn link_count(&self) -> u32 {
        match self {
            Self::Folder => 2,
            Self::File(_) | Self::Link(_) | Self::Device(_) | Self::End => 1,
        }
    }

    const fn device_number(&self) -> (u32, u32) {
        match self {
            Self::Device(Device::Character { major, minor } | Device::Block { major, minor }) => {
                (*major, *minor)
            }
            Self::Folder | Self::File(_) | Self::Link(_) | Self::End => (0, 0),
        }
    }
}

/// The 13 numbers of a header in the order of the format.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) inode: u32,
    pub(crate) permissions: Permissions,
    pub(crate) file_size: u32,
    /// Length of the name with its NUL.
    pub(crate) name_size: u32,
}

impl Header {
    /// Appends the 110 header bytes: the magic and 13 numbers of 8 hexadecimal digits.
    pub(crate) fn write(&self, kind: &Kind<'_>, out: &mut Vec<u8>) {
        let (device_major, device_minor) = kind.device_number();
        let mtime = 0;
        let (uid, gid) = (0, 0);
        let checksum = 0;
        out.extend_from_slice(MAGIC);
        for number in [
            self.inode,
            kind.type_bits() | self.permissions.bits(),
            uid,
            gid,
            kind.link_count(),
            mtime,
            self.file_size,
            0,
            0,
            device_major,
            device_minor,
            self.name_size,
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
