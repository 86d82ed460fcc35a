//! [`Input`]: the bytes of a file.

use std::path::{Path, PathBuf};

use elf_index::Object;
use memmap_sys::FileBytes;

use crate::error::Error;

/// A file's bytes, and where they came from.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    bytes: FileBytes,
}

impl Input {
    /// Maps a file; reads it when it cannot be mapped soundly.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = FileBytes::open(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
        })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Indexes the file as an object.
    ///
    /// # Errors
    ///
    /// [`Error::Object`].
    pub fn object(&self) -> Result<Object<'_>, Error> {
        Object::parse(self.bytes()).map_err(|source| Error::Object {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_no_object_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"bytes").unwrap();
        let error = Input::open(&path).unwrap().object().unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert!(Input::open(&folder.path().join("none")).is_err());
    }
}
