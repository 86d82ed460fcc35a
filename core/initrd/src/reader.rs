//! An image as the kernel unpacks it: `unpack_to_rootfs()` in `init/initramfs.c`, v7.3.
//!
//! An image is any sequence of zeros, archives, and compressed members with archives inside. A plain
//! archive starts at a multiple of 4 of the image. At the first error the kernel stops; what came
//! before stays unpacked.

mod bootconfig;
mod cpio;
mod passing;

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;

use decompress::{Format, decompress};

pub use bootconfig::BootConfig;
pub use cpio::{EntryKind, ReadEntry};

use cpio::{Cpio, Failed};
use passing::Passing;

/// What is seen of an image, in its order.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// An archive starts: a plain one, or a compressed member.
    Member(Member),
    /// An entry that is unpacked.
    Entry(&'a ReadEntry<'a>),
    /// An entry that the kernel leaves out without a word.
    Skipped {
        /// Its name, as far as it has one.
        name: &'a [u8],
        /// Why.
        why: &'static str,
    },
    /// The end mark of an archive: what follows is no hard link to what came before.
    Trailer,
    /// The member that started last ends here in the image; zeros may follow it.
    MemberEnd {
        /// Where.
        offset: usize,
    },
}

/// Unpacks the stream that some bytes start with, to at most so many bytes: gives them piece by piece, and
/// says how long the stream is.
pub type UnpackFn<'a> =
    dyn Fn(Format, &[u8], usize, &mut dyn FnMut(&[u8])) -> Result<usize, decompress::Error> + 'a;

/// What becomes of the contents of files in compressed members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// They are seen, for which a member is unpacked as a whole.
    Kept,
    /// They pass: little memory is taken, and entries are seen up to where a stream breaks off.
    Passed,
}

/// By what an image is read.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Bytes that a member may unpack to.
    pub limit_bytes: usize,
    /// Says of each compressed form whether the kernel has it.
    pub is_configured: &'a dyn Fn(Format) -> bool,
    /// Unpacks a member.
    pub unpack_fn: &'a UnpackFn<'a>,
    /// What becomes of contents.
    pub contents: Contents,
}

impl Rules<'_> {
    /// A kernel that has every form, and the decoders of the crate `decompress`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            is_configured: &|_| true,
            unpack_fn: &unpack_whole,
            contents: Contents::Kept,
        }
    }
}

fn unpack_whole(
    format: Format,
    bytes: &[u8],
    limit_bytes: usize,
    to: &mut dyn FnMut(&[u8]),
) -> Result<usize, decompress::Error> {
    let unpacked = decompress(format, bytes, limit_bytes)?;
    to(&unpacked.data);
    Ok(unpacked.consumed_bytes)
}

impl fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configured = Format::ALL.map(|format| (self.is_configured)(format));
        f.debug_struct("Rules")
            .field("limit_bytes", &self.limit_bytes)
            .field("configured", &configured)
            .finish_non_exhaustive()
    }
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where in the image it starts.
    pub offset: usize,
    /// What it is compressed in; `None` of a plain archive.
    pub format: Option<Format>,
}

/// Why the kernel does not take an image, or not all of it; the first words are the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither an archive nor compressed in a way the kernel knows.
    #[error("invalid magic at start of compressed archive: {found:02x?}{hint}")]
    InvalidMagic {
        /// What is there instead.
        found: [u8; 4],
        /// What that is, when it is known.
        hint: &'static str,
    },
    /// A compressed member that cannot be unpacked.
    #[error("decompressor failed: {0}")]
    Decompressor(#[from] decompress::Error),
    /// The kernel cannot unpack this form.
    #[error("compression method {format} not configured: the kernel is built without {}", format.initramfs_option())]
    NotConfigured {
        /// The form.
        format: Format,
    },
    /// A member ends inside of an entry.
    #[error("junk at the end of compressed archive: it ends inside of an entry")]
    MemberCut,
    /// Something between entries of a member.
    #[error("junk within compressed archive: 0x{found:02x} where an entry should start")]
    JunkWithin {
        /// What is there.
        found: u8,
    },
    /// Zeros that do not end at a multiple of 4.
    #[error("broken padding: the zeros behind an archive must end at a multiple of 4")]
    BrokenPadding,
    /// `070707`: the old portable format.
    #[error("incorrect cpio method used: use -H newc option")]
    OldFormat,
    /// No header where one should be.
    #[error("no cpio magic: {}", String::from_utf8_lossy(found))]
    NoMagic {
        /// What is there.
        found: [u8; 6],
    },
    /// A header whose numbers are none, or a name without its NUL.
    #[error("malformed archive: {what}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
    },
    /// The sum of a file in an archive with sums is another one.
    #[error("bad data checksum: {found:08x} instead of {stated:08x}")]
    Checksum {
        /// That of the content.
        found: u32,
        /// That in the header.
        stated: u32,
    },
    /// The image ends inside of an entry; the kernel says nothing, and the entry is cut.
    #[error("the image ends inside of an entry; the kernel does not say so")]
    Cut,
}

/// An error and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where in the image: of an error inside of a compressed member, where that starts.
    pub offset: usize,
    /// Where in the unpacked member.
    pub inside: Option<usize>,
    /// What is wrong.
    pub why: Refusal,
}

/// Reads an image.
///
/// Of a member whose stream breaks off nothing is seen. The kernel may have unpacked its first entries by
/// then: how many is its decoder's matter.
///
/// # Errors
/// [`Refused`]: everything before it was given to `seen`.
pub fn read(
    image: &[u8],
    rules: &Rules<'_>,
    seen: &mut dyn FnMut(Seen<'_>),
) -> Result<(), Refused> {
    let image = match BootConfig::find(image) {
        Some(found) => image.get(..found.offset).unwrap_or_default(),
        None => image,
    };
    let mut at: usize = 0;
    while let Some(&first) = image.get(at) {
        let rest = image.get(at..).unwrap_or_default();
        if first == b'0' && at.is_multiple_of(4) {
            seen(Seen::Member(Member {
                offset: at,
                format: None,
            }));
            at = at.saturating_add(plain(rest, at, seen)?);
            seen(Seen::MemberEnd { offset: at });
        } else if first == 0 {
            let zeros = rest.iter().position(|&byte| byte != 0);
            at = at.saturating_add(zeros.unwrap_or(rest.len()));
        } else {
            at = at.saturating_add(member(rest, at, rules, seen)?);
            seen(Seen::MemberEnd { offset: at });
        }
    }
    Ok(())
}

/// Entries of a plain archive, up to where something else starts.
fn plain(rest: &[u8], offset: usize, seen: &mut dyn FnMut(Seen<'_>)) -> Result<usize, Refused> {
    let mut cpio = Cpio::new(rest, offset);
    let refused = |inside: usize, why| Refused {
        offset: offset.saturating_add(inside),
        inside: None,
        why,
    };
    while cpio.is_at_entry() {
        cpio.entry(seen).map_err(|(at, why)| refused(at, why))?;
    }
    Ok(cpio.position())
}

fn member(
    rest: &[u8],
    offset: usize,
    rules: &Rules<'_>,
    seen: &mut dyn FnMut(Seen<'_>),
) -> Result<usize, Refused> {
    let refused = |why| Refused {
        offset,
        inside: None,
        why,
    };
    let format = Format::of(rest).ok_or_else(|| refused(unknown(rest)))?;
    if !(rules.is_configured)(format) {
        return Err(refused(Refusal::NotConfigured { format }));
    }
    seen(Seen::Member(Member {
        offset,
        format: Some(format),
    }));
    let inside = |(at, why)| Refused {
        offset,
        inside: Some(at),
        why: if why == Refusal::Cut {
            Refusal::MemberCut
        } else {
            why
        },
    };
    if rules.contents == Contents::Passed {
        let mut passing = Passing::new();
        let mut to = |piece: &[u8]| passing.push(piece, seen);
        let bytes = (rules.unpack_fn)(format, rest, rules.limit_bytes, &mut to);
        let bytes = bytes.map_err(|error| refused(error.into()))?;
        passing.finish().map_err(inside)?;
        return Ok(bytes);
    }
    let mut data = Vec::new();
    let mut to = |piece: &[u8]| data.extend_from_slice(piece);
    let bytes = (rules.unpack_fn)(format, rest, rules.limit_bytes, &mut to);
    let bytes = bytes.map_err(|error| refused(error.into()))?;
    unpacked(&data, seen).map_err(inside)?;
    Ok(bytes)
}

/// Entries of a member and what is between them.
fn unpacked(data: &[u8], seen: &mut dyn FnMut(Seen<'_>)) -> Result<(), Failed> {
    let mut cpio = Cpio::new(data, 0);
    loop {
        match cpio.next_byte() {
            None => return Ok(()),
            Some(b'0') => cpio.entry(seen)?,
            Some(0) => cpio.zeros()?,
            Some(found) => return Err((cpio.position(), Refusal::JunkWithin { found })),
        }
    }
}

/// What is known of magic numbers that the kernel does not take.
fn unknown(rest: &[u8]) -> Refusal {
    let mut found = [0; 4];
    for (to, from) in found.iter_mut().zip(rest) {
        *to = *from;
    }
    let hint = match found {
        [0x04, 0x22, 0x4d, 0x18] => ", a frame of lz4 that the kernel does not take (lz4 -l)",
        [b'0', b'7', b'0', b'7'] => ", an archive that does not start at a multiple of 4",
        [b'h', b's', b'q', b's'] => ", a file system: no initramfs, but a block image",
        _ => "",
    };
    Refusal::InvalidMagic { found, hint }
}

#[cfg(test)]
mod tests;
