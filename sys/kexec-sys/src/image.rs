//! Images in memory, sealed: what was checked is what is loaded.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::Error;

/// No kernel or initrd is larger; keeps an endless file from filling the memory.
const LIMIT_BYTES: u64 = 4 << 30;

/// A copy of a kernel or initrd that nobody can change any more.
#[derive(Debug)]
pub struct SealedImage {
    file: File,
    len_bytes: u64,
}

impl SealedImage {
    /// Copies `source` to its end into a memfd and seals it. Files that do not tell their size
    /// (sysfs, pipes) are read to their end.
    ///
    /// # Errors
    /// [`Error::Copy`] for read and memory errors, [`Error::TooLarge`] past 4 GiB.
    pub fn copy(what: &'static str, source: impl Read) -> Result<Self, Error> {
        let wrap = |source| Error::Copy { what, source };
        let fd = rustix::fs::memfd_create(what, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(|errno| wrap(errno.into()))?;
        let mut file = File::from(fd);
        let len_bytes = io::copy(&mut source.take(LIMIT_BYTES + 1), &mut file).map_err(wrap)?;
        if len_bytes > LIMIT_BYTES {
            return Err(Error::TooLarge {
                what,
                limit_bytes: LIMIT_BYTES,
            });
        }
        file.seek(SeekFrom::Start(0)).map_err(wrap)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(|errno| wrap(errno.into()))?;
        Ok(Self { file, len_bytes })
    }

    /// Bytes of the image.
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// A copy of its bytes.
    ///
    /// # Errors
    /// No memory for it.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        let length =
            usize::try_from(self.len_bytes).map_err(|_too_long| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Its bytes from the first on, whatever was read before.
    pub const fn reader(&self) -> ImageReader<'_> {
        ImageReader {
            image: self,
            offset: 0,
        }
    }

    /// The image for reading; its position is shared with the load.
    pub const fn file(&self) -> &File {
        &self.file
    }
}

/// Reads an image without moving its position.
#[derive(Debug)]
pub struct ImageReader<'a> {
    image: &'a SealedImage,
    offset: u64,
}

impl Read for ImageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.image.file.read_at(buffer, self.offset)?;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

impl AsFd for SealedImage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_sealed_image_has_the_bytes_and_refuses_new_ones() {
        let image = SealedImage::copy("kernel", &b"abc"[..]).unwrap();
        assert_eq!(image.len_bytes(), 3);
        let mut text = String::new();
        (&image.file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!((&image.file).write_all(b"d").is_err());
        let again = io::read_to_string(image.reader()).unwrap();
        assert_eq!(again, "abc");
    }
}
