//! Entries of an archive in the newc format, by the states of `init/initramfs.c`, v7.3.

use super::{Refusal, Seen};

/// Bytes of a header: a magic of six, and thirteen numbers of eight hexadecimal digits.
pub(super) const HEADER: usize = 110;
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
    /// Bytes of its content.
    pub bytes: usize,
    /// Content of a file, target of a link; of a file nothing, where contents are passed over.
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
pub(super) type Failed = (usize, Refusal);

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
        let name = self.take(name_field(header.name_bytes))?;
        let content_offset = self.base.saturating_add(self.at);
        let content = self.take(header.body_bytes)?;
        self.skip_to_word()?;
        let whole = Whole {
            start,
            header: &header,
            name,
            content,
            content_offset,
            sum: header.is_summed.then(|| sum(content)),
        };
        whole.tell(seen)?;
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
pub(super) const fn name_field(name_bytes: usize) -> usize {
    (name_bytes.saturating_add(1) & !3).saturating_add(2)
}

/// The sum of a content in an archive with sums.
fn sum(content: &[u8]) -> u32 {
    add_up(0, content)
}

/// Goes on with a sum.
pub(super) fn add_up(sum: u32, content: &[u8]) -> u32 {
    let bytes = content.iter();
    bytes.fold(sum, |sum, &byte| sum.wrapping_add(u32::from(byte)))
}

/// An entry that is there to its end.
pub(super) struct Whole<'e> {
    /// Where it starts.
    pub(super) start: usize,
    pub(super) header: &'e Header,
    /// The name's field: with padding.
    pub(super) name: &'e [u8],
    /// The content, or nothing of a file whose content is passed over.
    pub(super) content: &'e [u8],
    pub(super) content_offset: usize,
    /// The sum of the content, if the archive has sums.
    pub(super) sum: Option<u32>,
}

impl Whole<'_> {
    /// Tells what the kernel makes of it.
    pub(super) fn tell(&self, seen: &mut dyn FnMut(Seen<'_>)) -> Result<(), Failed> {
        let header = self.header;
        let kind = EntryKind::of(header.mode);
        let has_name = (1..=PATH_MAX).contains(&header.name_bytes);
        let whole = self.name.get(..header.name_bytes).unwrap_or_default();
        let name = whole.split(|&byte| byte == 0).next().unwrap_or_default();
        if !has_name || !header.has_fitting_body() {
            let why = if has_name {
                "its content is longer than such an entry may have"
            } else {
                "its name is empty or longer than 4096 bytes"
            };
            seen(Seen::Skipped { name, why });
            return Ok(());
        }
        if whole.last() != Some(&0) {
            let what = "a name without its NUL";
            let at = self.start.saturating_add(HEADER);
            return Err((at, Refusal::Malformed { what }));
        }
        if name == TRAILER {
            seen(Seen::Trailer);
            return Ok(());
        }
        let Some(kind) = kind else {
            let why = "its mode is of no kind of file";
            seen(Seen::Skipped { name, why });
            return Ok(());
        };
        let entry = ReadEntry {
            content_offset: self.content_offset,
            ..header.entry(name, kind, self.content)
        };
        seen(Seen::Entry(&entry));
        // The kernel sums up what it has written: the file stays.
        let found = self.sum.filter(|_| kind == EntryKind::File);
        match found.filter(|found| *found != header.sum) {
            None => Ok(()),
            Some(found) => {
                let stated = header.sum;
                Err((self.start, Refusal::Checksum { found, stated }))
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Header {
    inode: (u32, u32, u32),
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    device: (u32, u32),
    pub(super) name_bytes: usize,
    pub(super) body_bytes: usize,
    sum: u32,
    pub(super) is_summed: bool,
}

impl Header {
    /// Whether the kernel reads on: a link has a target of some length, a folder has no content.
    pub(super) fn has_fitting_body(&self) -> bool {
        match EntryKind::of(self.mode) {
            Some(EntryKind::Symlink) => self.body_bytes <= PATH_MAX,
            Some(EntryKind::File) => true,
            _ => self.body_bytes == 0,
        }
    }

    /// Whether its content is told in any case: where a link leads.
    pub(super) fn is_link(&self) -> bool {
        EntryKind::of(self.mode) == Some(EntryKind::Symlink) && self.has_fitting_body()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
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
            bytes: self.body_bytes,
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
