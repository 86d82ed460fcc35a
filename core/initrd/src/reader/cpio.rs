//! Entries of an archive in the newc format, by the states of `init/initramfs.c`, v7.3.

use super::{Refusal, Seen};

/// Bytes of a header: a magic of six, and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 110;
const PATH_MAX: usize = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link; its content is where it leads.
    Symlink,
    /// A device node of characters.
    CharacterDevice,
    /// A device node of blocks.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl EntryKind {
    /// The kind in a mode; `None` of one that the kernel does not make.
    pub const fn of(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o040_000 => Self::Folder,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharacterDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadEntry<'a> {
    /// Its name, up to the first NUL.
    pub name: &'a [u8],
    /// What it is.
    pub kind: EntryKind,
    /// Type and permissions, as in `stat(2)`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of the same file.
    pub nlink: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// What tells the names of one file: inode, and the device it was on.
    pub inode: (u32, u32, u32),
    /// The device of a device node: major, minor.
    pub device: (u32, u32),
    /// Content of a file, target of a link.
    pub content: &'a [u8],
    /// Where the content starts: in the image, or in what the compressed member unpacks to.
    pub content_offset: usize,
}

/// An archive, and how far it was read.
pub(super) struct Cpio<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where in the whole the bytes start: padding is counted from there.
    base: usize,
}

/// An error and where in the bytes it is.
type Failed = (usize, Refusal);

impl<'a> Cpio<'a> {
    pub(super) const fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn next_byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    const fn is_aligned(&self) -> bool {
        self.base.wrapping_add(self.at).is_multiple_of(4)
    }

    /// Whether the next entry of a plain archive is here.
    pub(super) fn is_at_entry(&self) -> bool {
        self.next_byte() == Some(b'0') && self.is_aligned()
    }

    /// `do_reset()`: what is between entries.
    pub(super) fn zeros(&mut self) -> Result<(), Failed> {
        while self.next_byte() == Some(0) {
            self.at = self.at.saturating_add(1);
        }
        if self.next_byte().is_some() && !self.is_aligned() {
            return Err((self.at, Refusal::BrokenPadding));
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Failed> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end);
        let taken = taken.ok_or((self.bytes.len(), Refusal::Cut))?;
        self.at = end;
        Ok(taken)
    }

    /// One entry and the zeros behind it.
    pub(super) fn entry(&mut self, seen: &mut dyn FnMut(Seen<'_>)) -> Result<(), Failed> {
        let start = self.at;
        let header = Header::read(self.take(HEADER)?).map_err(|why| (start, why))?;
        let kind = EntryKind::of(header.mode);
        let has_name = (1..=PATH_MAX).contains(&header.name_bytes);
        let reads_body = match kind {
            Some(EntryKind::Symlink) => header.body_bytes <= PATH_MAX,
            Some(EntryKind::File) => true,
            _ => header.body_bytes == 0,
        };
        let name_at = self.at;
        let name = self.take(name_field(header.name_bytes))?;
        let whole = name.get(..header.name_bytes).unwrap_or_default();
        let name = whole.split(|&byte| byte == 0).next().unwrap_or_default();
        let content_offset = self.base.saturating_add(self.at);
        let content = self.take(header.body_bytes)?;
        self.skip_to_word()?;
        if !has_name || !reads_body {
            let why = if has_name {
                "its content is longer than such an entry may have"
            } else {
                "its name is empty or longer than 4096 bytes"
            };
            seen(Seen::Skipped { name, why });
            return self.zeros();
        }
        if whole.last() != Some(&0) {
            let what = "a name without its NUL";
            return Err((name_at, Refusal::Malformed { what }));
        }
        if name == TRAILER {
            seen(Seen::Trailer);
            return self.zeros();
        }
        let Some(kind) = kind else {
            let why = "its mode is of no kind of file";
            seen(Seen::Skipped { name, why });
            return self.zeros();
        };
        let entry = ReadEntry {
            content_offset,
            ..header.entry(name, kind, content)
        };
        seen(Seen::Entry(&entry));
        // The kernel sums up what it has written: the file stays.
        if kind == EntryKind::File && header.is_summed {
            check(content, header.sum).map_err(|why| (start, why))?;
        }
        self.zeros()
    }

    /// Padding behind the content; the last entry of an image may lack it.
    fn skip_to_word(&mut self) -> Result<(), Failed> {
        let used = self.base.wrapping_add(self.at);
        let pad = used.next_multiple_of(4).wrapping_sub(used);
        let left = self.bytes.len().saturating_sub(self.at);
        self.take(pad.min(left)).map(|_padding| ())
    }
}

/// `N_ALIGN()`: a name's field, which with the header in front ends at a multiple of 4.
const fn name_field(name_bytes: usize) -> usize {
    (name_bytes.saturating_add(1) & !3).saturating_add(2)
}

fn check(content: &[u8], stated: u32) -> Result<(), Refusal> {
    let found = content
        .iter()
        .fold(0_u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
    if found == stated {
        Ok(())
    } else {
        Err(Refusal::Checksum { found, stated })
    }
}

struct Header {
    inode: (u32, u32, u32),
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    device: (u32, u32),
    name_bytes: usize,
    body_bytes: usize,
    sum: u32,
    is_summed: bool,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let found = bytes.first_chunk().copied().unwrap_or_default();
        let is_summed = match &found {
            b"070701" => false,
            b"070702" => true,
            b"070707" => return Err(Refusal::OldFormat),
            _ => return Err(Refusal::NoMagic { found }),
        };
        let mut numbers = [0; 13];
        let fields = bytes.get(6..).unwrap_or_default();
        for (number, digits) in numbers.iter_mut().zip(fields.chunks_exact(8)) {
            let what = "a number that is none";
            *number = hexadecimal(digits).ok_or(Refusal::Malformed { what })?;
        }
        let [
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            body,
            major,
            minor,
            rmajor,
            rminor,
            name,
            sum,
        ] = numbers;
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Self {
            inode: (ino, major, minor),
            mode,
            uid,
            gid,
            nlink,
            mtime,
            device: (rmajor, rminor),
            name_bytes: length(name),
            body_bytes: length(body),
            sum,
            is_summed,
        })
    }

    const fn entry<'a>(&self, name: &'a [u8], kind: EntryKind, content: &'a [u8]) -> ReadEntry<'a> {
        ReadEntry {
            name,
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            nlink: self.nlink,
            mtime: self.mtime,
            inode: self.inode,
            device: self.device,
            content,
            content_offset: 0,
        }
    }
}

/// Eight digits; a sign or a blank is none, as for `hex2bin()`.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}
