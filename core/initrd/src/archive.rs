//! An archive in memory.

use alloc::vec::Vec;

use crate::entry::{Attributes, Device, Kind, Permissions};
use crate::error::Error;
use crate::heads::Heads;

/// A newc archive: entries are appended, [`Archive::finish`] gives the bytes.
///
/// Names are relative to the root, without a leading slash. A folder must be added before what
/// lies in it; [`Archive::folders`] adds a whole path.
///
/// ```
/// use initrd::{Archive, Permissions};
/// let mut archive = Archive::new();
/// archive.folders("etc")?;
/// archive.file("etc/hostname", Permissions::DATA, b"guest\n")?;
/// let bytes = archive.finish();
/// assert_eq!(bytes.get(..6), Some(&b"070701"[..]));
/// assert_eq!(bytes.len() % 512, 0);
/// # Ok::<(), initrd::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    heads: Heads,
}

impl Archive {
    /// Makes an empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn folder(&mut self, name: &str, attributes: impl Into<Attributes>) -> Result<(), Error> {
        self.add(name, attributes, &Kind::Folder, &[])
    }

    /// Adds a folder and those above it, each unless it is there already, as `rwxr-xr-x`.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NameTooLong`], or [`Error::MissingFolder`] when a part of the
    /// path is an entry that is not a folder.
    pub fn folders(&mut self, name: &str) -> Result<(), Error> {
        let heads = self.heads.folders(name)?;
        self.bytes.extend(heads);
        Ok(())
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn file(
        &mut self,
        name: &str,
        attributes: impl Into<Attributes>,
        content: &[u8],
    ) -> Result<(), Error> {
        self.linked_file(name, &[], attributes, content)
    }

    /// Adds a regular file with several names.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn linked_file(
        &mut self,
        name: &str,
        other_names: &[&str],
        attributes: impl Into<Attributes>,
        content: &[u8],
    ) -> Result<(), Error> {
        let kind = Kind::File {
            bytes: u64::try_from(content.len()).unwrap_or(u64::MAX),
            other_names,
        };
        self.add(name, attributes, &kind, content)
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn symlink(&mut self, name: &str, target: &str) -> Result<(), Error> {
        let all = Permissions::from_mode(0o777);
        self.add(name, all, &Kind::Symlink(target), &[])
    }

    /// Adds a device node.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn device(
        &mut self,
        name: &str,
        attributes: impl Into<Attributes>,
        device: Device,
    ) -> Result<(), Error> {
        self.add(name, attributes, &Kind::Device(device), &[])
    }

    /// Ends the archive and gives its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend(self.heads.end());
        self.bytes
    }

    fn add(
        &mut self,
        name: &str,
        attributes: impl Into<Attributes>,
        kind: &Kind<'_>,
        content: &[u8],
    ) -> Result<(), Error> {
        let head = self.heads.entry(name, attributes, kind)?;
        self.bytes.extend(head.bytes);
        self.bytes.extend_from_slice(content);
        let padded = self.bytes.len().saturating_add(head.padding);
        self.bytes.resize(padded, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
