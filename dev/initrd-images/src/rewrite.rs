//! Changes archives in place.

const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// Entries: where each starts, and its name's and content's bytes.
fn entries(archive: &[u8]) -> Vec<(usize, usize, usize)> {
    let mut entries = Vec::new();
    let mut at = 0;
    while archive.get(at) == Some(&b'0') {
        let number = |offset: usize| {
            let digits = archive.get(at + offset..at + offset + 8);
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            digits
                .and_then(|digits| usize::from_str_radix(digits, 16).ok())
                .unwrap_or(0)
        };
        let (name, body) = (number(94), number(54));
        entries.push((at, name, body));
        at += (HEADER + name).next_multiple_of(4) + body.next_multiple_of(4);
    }
    entries
}

/// The archive up to its end mark.
pub(crate) fn without_trailer(archive: &[u8]) -> Vec<u8> {
    let is_trailer = |at: usize| {
        let name = archive.get(at + HEADER..);
        name.is_some_and(|name| name.starts_with(TRAILER))
    };
    let end = entries(archive)
        .into_iter()
        .map(|(at, ..)| at)
        .find(|&at| is_trailer(at));
    archive
        .get(..end.unwrap_or(archive.len()))
        .unwrap_or_default()
        .to_vec()
}

/// The archive up to the end of its end mark: the next multiple of 4.
pub(crate) fn without_padding(archive: Vec<u8>) -> Vec<u8> {
    let end = entries(&archive)
        .last()
        .map_or(0, |&(at, name, _)| at + (HEADER + name).next_multiple_of(4));
    let mut archive = archive;
    archive.truncate(end);
    archive
}

fn put(archive: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in archive.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The same in the format with sums, each `off` more than it is.
pub(crate) fn with_sums(archive: &[u8], off: u32) -> Vec<u8> {
    let mut summed = archive.to_vec();
    for (at, name, body) in entries(archive) {
        let start = at + (HEADER + name).next_multiple_of(4);
        let content = archive.get(start..start + body).unwrap_or_default();
        // Only files have one.
        let is_file = archive.get(at + 14..at + 22).is_some_and(|mode| {
            std::str::from_utf8(mode)
                .ok()
                .and_then(|mode| u32::from_str_radix(mode, 16).ok())
                .is_some_and(|mode| mode & 0o170_000 == 0o100_000)
        });
        let sum = content
            .iter()
            .fold(0_u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
        let sum = if is_file { sum.wrapping_add(off) } else { 0 };
        put(&mut summed, at, b"070702");
        put(&mut summed, at + 102, format!("{sum:08X}").as_bytes());
    }
    summed
}

/// The same with the magic of the old format; the kernel looks no further.
pub(crate) fn old_format(archive: &[u8]) -> Vec<u8> {
    let mut old = archive.to_vec();
    put(&mut old, 0, b"070707");
    old
}

/// An archive of one file whose name's field is longer than the name, which aligns its content.
pub(crate) fn padded_name() -> Vec<u8> {
    let mut entry = Raw::new("padded", 0o100_644, b"starts at byte 400\n");
    entry.name.resize(400 - HEADER, 0);
    entry.bytes()
}

/// An entry as it is said, whatever the kernel makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// With its NUL.
    name: Vec<u8>,
    mode: u32,
    content: Vec<u8>,
    inode: u32,
    nlink: u32,
}

impl Raw {
    pub(crate) fn new(name: &str, mode: u32, content: &[u8]) -> Self {
        Self {
            name: [name.as_bytes(), b"\0"].concat(),
            mode,
            content: content.to_vec(),
            inode: 7,
            nlink: 1,
        }
    }

    /// One of several names of a file.
    pub(crate) fn linked(name: &str, content: &[u8], inode: u32) -> Self {
        Self {
            inode,
            nlink: 2,
            ..Self::new(name, 0o100_644, content)
        }
    }

    /// Header, name and content; owner, group and time are not those of the others.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (name, content) = (length(&self.name), length(&self.content));
        let (owner, group, time) = (1000, 100, 1_700_000_000);
        let links = self.nlink;
        let numbers = [
            self.inode, self.mode, owner, group, links, time, content, 0, 0, 0, 0, name, 0,
        ];
        let mut bytes = b"070701".to_vec();
        for number in numbers {
            bytes.extend(format!("{number:08X}").bytes());
        }
        for part in [&self.name, &self.content] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Boot configuration as it stands behind an image.
pub(crate) fn boot_config(text: &[u8]) -> Vec<u8> {
    let mut config = text.to_vec();
    // Text, two words and the mark end at a multiple of 4; spaces are no part of a value.
    while !(config.len() + 8 + 12).is_multiple_of(4) {
        config.push(b'\n');
    }
    let bytes = length(&config);
    let sum = config.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    config.extend(bytes.to_le_bytes());
    config.extend(sum.to_le_bytes());
    config.extend(b"#BOOTCONFIG\n");
    config
}
