//! Where an archive goes: into a file, as it is or compressed.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroU64;
use std::path::Path;
use std::thread::available_parallelism;

use flate2::write::GzEncoder;
use lzma_rust2::{CheckType, XzOptions, XzWriter};
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::manifest::Compression;

/// Bytes that are written, and read, at a time.
const BUFFER: usize = 1 << 20;
/// Files up to this go through the buffer with their heads; longer ones from file to file.
const SMALL: u64 = 64 << 10;
/// One block: the kernel's decoder takes more, but a second one gains nothing here.
const XZ_BLOCK: NonZeroU64 = NonZeroU64::MAX;

/// A file that is there whole or not at all.
#[derive(Debug)]
pub(crate) struct Output {
    file: NamedTempFile,
}

impl Output {
    /// Starts one beside the path that it will have; only its owner may read it.
    pub(crate) fn beside(path: &Path) -> Result<Self, Error> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).map_err(Error::file("make a file in", folder))?;
        Ok(Self { file })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Gives it its path.
    pub(crate) fn persist(self, path: &Path) -> Result<u64, Error> {
        let written = self.file.as_file().sync_all();
        written.map_err(Error::file("write", path))?;
        let bytes = self.file.as_file().metadata();
        let bytes = bytes.map_err(Error::file("look at", path))?.len();
        let kept = self.file.persist(path).map_err(|error| error.error);
        kept.map_err(Error::file("write", path))?;
        Ok(bytes)
    }
}

/// Takes the bytes of an archive.
pub(crate) enum Packer<'f> {
    Plain(BufWriter<&'f mut File>),
    Gzip(GzEncoder<BufWriter<&'f mut File>>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<&'f mut File>>>),
    Xz(Box<XzWriter<BufWriter<&'f mut File>>>),
}

impl<'f> Packer<'f> {
    pub(crate) fn new(
        file: &'f mut File,
        compression: Compression,
        level: Option<u32>,
    ) -> io::Result<Self> {
        let out = BufWriter::with_capacity(BUFFER, file);
        Ok(match compression {
            Compression::None => Self::Plain(out),
            Compression::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(6).min(9));
                // No name and no time: the same image whenever it is made.
                Self::Gzip(GzEncoder::new(out, level))
            }
            Compression::Zstd => {
                let level = i32::try_from(level.unwrap_or(3)).unwrap_or(i32::MAX);
                let mut encoder = zstd::Encoder::new(out, level)?;
                // With workers the result does not depend on how many there are.
                let workers = available_parallelism().map_or(1, |count| count.get());
                encoder.multithread(u32::try_from(workers).unwrap_or(1))?;
                Self::Zstd(Box::new(encoder))
            }
            Compression::Xz => {
                let mut options = XzOptions::with_preset(level.unwrap_or(6).min(9));
                options.set_check_sum_type(CheckType::Crc32);
                options.set_block_size(Some(XZ_BLOCK));
                Self::Xz(Box::new(XzWriter::new(out, options)?))
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out,
            Self::Zstd(out) => out,
            Self::Xz(out) => out,
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)
    }

    pub(crate) fn zeros(&mut self, count: usize) -> io::Result<()> {
        const ZEROS: [u8; 4] = [0; 4];
        self.bytes(ZEROS.get(..count).unwrap_or(&ZEROS))
    }

    /// Copies at most so many bytes, and says how many there were.
    pub(crate) fn copy(&mut self, from: &File, bytes: u64) -> io::Result<u64> {
        if let Self::Plain(out) = self
            && bytes > SMALL
        {
            // The kernel copies from file to file.
            return io::copy(&mut from.take(bytes), out);
        }
        let piece = usize::try_from(bytes).unwrap_or(BUFFER).clamp(1, BUFFER);
        let (mut from, mut piece) = (from.take(bytes), vec![0; piece]);
        let mut copied = 0;
        loop {
            let count = from.read(&mut piece)?;
            if count == 0 {
                return Ok(copied);
            }
            self.bytes(piece.get(..count).unwrap_or_default())?;
            copied += u64::try_from(count).unwrap_or(0);
        }
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out.finish()?,
            Self::Zstd(out) => out.finish()?,
            Self::Xz(out) => out.finish()?,
        };
        out.flush()
    }
}
