//! [`FileBytes`]: the bytes of a file, mapped where that is sound.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Deref;
use std::path::Path;

use crate::FileMap;

/// The bytes of a file, which do not change.
#[derive(Debug)]
pub struct FileBytes(Kept);

#[derive(Debug)]
enum Kept {
    Mapped(FileMap),
    Read(Vec<u8>),
}

impl FileBytes {
    /// Maps a file; reads it when it cannot be mapped soundly.
    ///
    /// # Errors
    /// It cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut copy = file.try_clone()?;
        Ok(Self(match FileMap::map(file) {
            Ok(map) => Kept::Mapped(map),
            // Somebody may write it, or the file system has no leases: then a copy is what stays the same.
            Err(_refused) => {
                let mut bytes = Vec::new();
                copy.read_to_end(&mut bytes)?;
                Kept::Read(bytes)
            }
        }))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Mapped(map) => map,
            Kept::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_somebody_may_write_is_read_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"bytes").unwrap();
        let writer = File::options().append(true).open(&path).unwrap();
        let read = FileBytes::open(&path).unwrap();
        assert_eq!(&*read, b"bytes");
        assert!(matches!(read.0, Kept::Read(_)));
        drop(writer);
        let mapped = FileBytes::open(&path).unwrap();
        assert_eq!(&*mapped, b"bytes");
        assert!(matches!(mapped.0, Kept::Mapped(_)));
    }
}
