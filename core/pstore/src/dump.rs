//! The first line of every record of type dmesg: `Shutdown#1 Part1`.
//!
//! Source: `pstore_dump()` (`fs/pstore/platform.c`), `kmsg_dump_reason_str()` (`kernel/printk/printk.c`), v7.3.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of the longest first line that is one: the longest word of the kernel's and three numbers are less than half.
const MAX_BYTES: usize = 96;

/// Why a kernel wrote its log down.
#[doc(alias = "kmsg_dump_reason")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reason {
    /// It could not go on.
    Panic,
    /// Something went wrong in it.
    Oops,
    /// It is switched off or started anew at once.
    Emergency,
    /// It ends in order: reboot, power off, kexec.
    Shutdown,
    /// Another word, such as `Restart` of older kernels.
    #[serde(untagged)]
    Other(String),
}

impl Reason {
    fn named(word: &str) -> Self {
        match word {
            "Panic" => Self::Panic,
            "Oops" => Self::Oops,
            "Emergency" => Self::Emergency,
            "Shutdown" => Self::Shutdown,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether it tells of a crash.
    pub const fn is_crash(&self) -> bool {
        matches!(self, Self::Panic | Self::Oops)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "Panic",
            Self::Oops => "Oops",
            Self::Emergency => "Emergency",
            Self::Shutdown => "Shutdown",
            Self::Other(word) => word,
        })
    }
}

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpHeader {
    /// Why.
    pub reason: Reason,
    /// Number of the dump in its boot, from 1.
    pub count: i32,
    /// Number of the part, from 1; part 1 has the newest lines.
    pub part: u32,
}

impl DumpHeader {
    /// Takes the first line off a record's text; `None`: there is none.
    pub fn split(text: &[u8]) -> Option<(Self, &[u8])> {
        let start = text.get(..MAX_BYTES.min(text.len()))?;
        let end = start.iter().position(|byte| *byte == b'\n')?;
        let line = core::str::from_utf8(start.get(..end)?).ok()?;
        let (reason, numbers) = line.split_once('#')?;
        let (count, part) = numbers.split_once(" Part")?;
        let is_word = |c: char| c.is_ascii_alphabetic();
        if reason.is_empty() || !reason.chars().all(is_word) || part.starts_with('+') {
            return None;
        }
        let header = Self {
            reason: Reason::named(reason),
            count: count.parse().ok()?,
            part: part.parse().ok()?,
        };
        Some((header, text.get(end.checked_add(1)?..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_off() {
        let (header, rest) = DumpHeader::split(b"Shutdown#1 Part2\n<6>x\n").unwrap();
        assert_eq!(
            header,
            DumpHeader {
                reason: Reason::Shutdown,
                count: 1,
                part: 2
            }
        );
        assert_eq!(rest, b"<6>x\n");
        let (header, rest) = DumpHeader::split(b"Restart#-3 Part1\n").unwrap();
        assert_eq!(header.reason, Reason::Other("Restart".into()));
        assert_eq!((header.count, rest), (-3, &b""[..]));
    }

    #[test]
    fn text_without_it_is_left_as_it_is() {
        for text in [
            "",
            "Oops#1 Part1",
            "Oops#1\n",
            "Oops#x Part1\n",
            "#1 Part1\n",
            "a b#1 Part1\n",
            "Oops#1 Part-1\n",
        ] {
            assert_eq!(DumpHeader::split(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(DumpHeader::split(&[b'A'; 4096]), None);
    }
}
