//! What the test services keep: files of every kind, with content that can be made again.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, ensure};
use liveupdate::{MemfdSpec, Seals};

/// Schema of everything here.
const SCHEMA: u32 = 7;
/// Bytes written or compared at once.
const CHUNK: usize = 1 << 20;
/// Where the position of a file of kind `position` is left.
const POSITION: u64 = 0x1234;

/// A kind of file, as named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No byte.
    Empty,
    /// One byte.
    OneByte,
    /// 1 MiB, of which every 16th page is written; the others read as zeroes.
    Sparse,
    /// 10,000 bytes, with the position left in the middle.
    Position,
    /// 10,000 bytes, sealed against growing and shrinking, and against new seals.
    Sealed,
    /// This many MiB, every byte written.
    Full(u64),
    /// This many MiB, of which every 512th page is written, and compared: large, and cheap to look at.
    Marked(u64),
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "empty" => Self::Empty,
            "one-byte" => Self::OneByte,
            "sparse" => Self::Sparse,
            "position" => Self::Position,
            "sealed" => Self::Sealed,
            other => {
                let (kind, mib) = other.split_once(':').unwrap_or((other, ""));
                match (kind, mib.parse()) {
                    ("full", Ok(mib)) => Self::Full(mib),
                    ("marked", Ok(mib)) => Self::Marked(mib),
                    _ => return Err(format!("no kind of file is called {other:?}")),
                }
            }
        })
    }
}

impl Kind {
    /// Its name as an item.
    pub(crate) fn item(&self) -> String {
        match self {
            Self::Empty => "empty".to_owned(),
            Self::OneByte => "one-byte".to_owned(),
            Self::Sparse => "sparse".to_owned(),
            Self::Position => "position".to_owned(),
            Self::Sealed => "sealed".to_owned(),
            Self::Full(mib) => format!("full-{mib}"),
            Self::Marked(mib) => format!("marked-{mib}"),
        }
    }

    /// The memfd as the store should make it.
    pub(crate) fn spec(&self) -> MemfdSpec {
        let spec = MemfdSpec::new(self.size()).schema(SCHEMA);
        match self {
            Self::Sealed => {
                let seal_seal = Seals::from_bits(1);
                spec.seals(Seals::from_bits(
                    Seals::FIXED_SIZE.bits() | seal_seal.bits(),
                ))
            }
            _ => spec.seals(Seals::NONE),
        }
    }

    const fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::OneByte => 1,
            Self::Sparse => 1 << 20,
            Self::Position | Self::Sealed => 10_000,
            Self::Full(mib) | Self::Marked(mib) => *mib << 20,
        }
    }

    /// Writes the content of a new file.
    pub(crate) fn fill(&self, fd: BorrowedFd<'_>, seed: u64) -> anyhow::Result<()> {
        let mut file = File::from(fd.try_clone_to_owned()?);
        if let Self::Marked(_) = self {
            return self.mark(&file, seed);
        }
        let mut expected = vec![0; CHUNK];
        let mut offset = 0;
        while offset < self.size() {
            let chunk = self.chunk(&mut expected, offset, seed);
            self.write(&file, chunk, offset)?;
            offset += length(chunk);
        }
        if *self == Self::Position {
            file.seek(SeekFrom::Start(POSITION))?;
        }
        Ok(())
    }

    fn write(&self, file: &File, chunk: &[u8], offset: u64) -> anyhow::Result<()> {
        if *self != Self::Sparse {
            return Ok(file.write_all_at(chunk, offset)?);
        }
        for (index, page) in chunk
            .chunks(4096)
            .enumerate()
            .filter(|(index, _)| index % 16 == 0)
        {
            let at = offset + u64::try_from(index * 4096)?;
            file.write_all_at(page, at)?;
        }
        Ok(())
    }

    /// The pages of a marked file that are written.
    fn marks(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.size() >> 12).step_by(512)
    }

    fn mark(&self, file: &File, seed: u64) -> anyhow::Result<()> {
        let mut page = [0; 4096];
        for mark in self.marks() {
            fill_page(&mut page, mark, seed);
            file.write_all_at(&page, mark << 12)?;
        }
        Ok(())
    }

    /// Compares position, size, seals and every byte that is looked at.
    pub(crate) fn verify(&self, fd: BorrowedFd<'_>, seed: u64) -> anyhow::Result<()> {
        let mut file = File::from(fd.try_clone_to_owned()?);
        let position = file.stream_position()?;
        let wanted = if *self == Self::Position { POSITION } else { 0 };
        ensure!(
            position == wanted,
            "position {position:#x}, not {wanted:#x}"
        );
        let size = file.metadata()?.len();
        ensure!(size == self.size(), "{size} bytes, not {}", self.size());
        if *self == Self::Sealed {
            let seals = Seals::of(fd.as_fd())?;
            ensure!(seals.bits() == 7, "seals {:#x}, not 0x7", seals.bits());
        }
        if let Self::Marked(_) = self {
            return self.verify_marks(&file, seed);
        }
        file.seek(SeekFrom::Start(0))?;
        let (mut found, mut expected) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut offset = 0;
        while offset < size {
            let expected = self.chunk(&mut expected, offset, seed);
            let found = found.get_mut(..expected.len()).context("chunk")?;
            file.read_exact(found)?;
            let differs = found.iter().zip(expected.iter()).position(|(a, b)| a != b);
            if let Some(at) = differs {
                anyhow::bail!("byte {} differs", offset + u64::try_from(at)?);
            }
            offset += length(expected);
        }
        file.seek(SeekFrom::Start(wanted))?;
        Ok(())
    }

    fn verify_marks(&self, file: &File, seed: u64) -> anyhow::Result<()> {
        let (mut found, mut expected) = ([0; 4096], [0; 4096]);
        for mark in self.marks() {
            fill_page(&mut expected, mark, seed);
            file.read_exact_at(&mut found, mark << 12)?;
            ensure!(found == expected, "page {mark} differs");
        }
        Ok(())
    }

    /// The expected bytes from `offset`, a multiple of [`CHUNK`].
    fn chunk<'a>(&self, buffer: &'a mut [u8], offset: u64, seed: u64) -> &'a [u8] {
        for (page_index, page) in buffer.chunks_mut(4096).enumerate() {
            let page_index = (offset >> 12) + u64::try_from(page_index).unwrap_or(0);
            if *self == Self::Sparse && !page_index.is_multiple_of(16) {
                page.fill(0);
                continue;
            }
            fill_page(page, page_index, seed);
        }
        let left = usize::try_from(self.size() - offset).unwrap_or(usize::MAX);
        buffer.get(..left.min(CHUNK)).unwrap_or_default()
    }
}

/// Gives a page the bytes that it is to have.
fn fill_page(page: &mut [u8], index: u64, seed: u64) {
    let start = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (index, word) in page.chunks_exact_mut(8).enumerate() {
        let value = start.wrapping_add(u64::try_from(index).unwrap_or(0) << 32);
        word.copy_from_slice(&value.to_le_bytes());
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A number made of names, so that no two files have the same content.
pub(crate) fn seed(service: &str, item: &str) -> u64 {
    let bytes = service.bytes().chain([0]).chain(item.bytes());
    // FNV-1a, 64 bits.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_filled_verifies_and_one_changed_byte_does_not() {
        for kind in [Kind::OneByte, Kind::Sparse, Kind::Position, Kind::Full(2)] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(kind.size()).unwrap();
            kind.fill(file.as_fd(), 5).unwrap();
            kind.verify(file.as_fd(), 5).unwrap();
            assert!(kind.verify(file.as_fd(), 6).is_err(), "{kind:?}");
            let last = kind.size() - 1;
            let mut byte = [0];
            file.read_exact_at(&mut byte, last).unwrap();
            file.write_all_at(&[!byte[0]], last).unwrap();
            assert!(kind.verify(file.as_fd(), 5).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn every_mark_is_compared() {
        let kind = Kind::Marked(5);
        let file = tempfile::tempfile().unwrap();
        file.set_len(kind.size()).unwrap();
        kind.fill(file.as_fd(), 5).unwrap();
        kind.verify(file.as_fd(), 5).unwrap();
        assert!(kind.verify(file.as_fd(), 6).is_err());
        file.write_all_at(b"x", 4 << 20).unwrap();
        assert!(kind.verify(file.as_fd(), 5).is_err());
    }
}
