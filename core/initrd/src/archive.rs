//! The archive under construction.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::entry::{Device, Header, Kind, Permissions};
use crate::error::Error;

/// Name of the end mark.
const TRAILER: &str = "TRAILER!!!";
/// Longest name or link target that the kernel takes, with the final NUL (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// Every header, name and content starts on a multiple of this.
const ALIGNMENT: usize = 4;
/// The finished archive is a multiple of this, as `cpio` and the kernel's `gen_init_cpio` make it.
const BLOCK: usize = 512;

/// Whether other entries can lie in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Entries,
    Nothing,
}

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
    names: BTreeMap<String, Holds>,
    last_inode: u32,
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
    pub fn folder(&mut self, name: &str, permissions: Permissions) -> Result<(), Error> {
        self.add(name, permissions, &Kind::Folder)
    }

    /// Adds a folder and those above it, each unless it is there already, as `rwxr-xr-x`.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NameTooLong`], or [`Error::MissingFolder`] when a part of the
    /// path is an entry that is not a folder.
    pub fn folders(&mut self, name: &str) -> Result<(), Error> {
        let ends = name
            .match_indices('/')
            .map(|(index, _)| index)
            .chain([name.len()]);
        for end in ends {
            let Some(part) = name.get(..end) else { break };
            if self.names.get(part) != Some(&Holds::Entries) {
                self.folder(part, Permissions::PROGRAM)?;
            }
        }
        Ok(())
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn file(
        &mut self,
        name: &str,
        permissions: Permissions,
        content: &[u8],
    ) -> Result<(), Error> {
        self.add(name, permissions, &Kind::File(content))
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn symlink(&mut self, name: &str, target: &str) -> Result<(), Error> {
        if target.is_empty() || target.len() > PATH_MAX || target.contains('\0') {
            return Err(Error::BadTarget {
                name: name.to_string(),
            });
        }
        let all = Permissions::from_mode(0o777);
        self.add(name, all, &Kind::Link(target.as_bytes()))
    }

    /// Adds a device node.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn device(
        &mut self,
        name: &str,
        permissions: Permissions,
        device: Device,
    ) -> Result<(), Error> {
        self.add(name, permissions, &Kind::Device(device))
    }

    /// Ends the archive and gives its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let none = Permissions::from_mode(0);
        // The length of a constant name: 10 bytes and the NUL.
        self.append(0, TRAILER, none, &Kind::End, 0, 11);
        self.pad(BLOCK);
        self.bytes
    }

    fn add(&mut self, name: &str, permissions: Permissions, kind: &Kind<'_>) -> Result<(), Error> {
        self.check_name(name)?;
        let content = kind.content();
        let file_size = u32::try_from(content.len()).map_err(|_too_large| Error::FileTooLarge {
            name: name.to_string(),
            len: u64::try_from(content.len()).unwrap_or(u64::MAX),
        })?;
        let name_size = name
            .len()
            .checked_add(1)
            .filter(|size| *size <= PATH_MAX)
            .and_then(|size| u32::try_from(size).ok())
            .ok_or(Error::NameTooLong { len: name.len() })?;
        let inode = self
            .last_inode
            .checked_add(1)
            .ok_or(Error::TooManyEntries)?;
        self.last_inode = inode;
        let holds = match kind {
            Kind::Folder => Holds::Entries,
            Kind::File(_) | Kind::Link(_) | Kind::Device(_) | Kind::End => Holds::Nothing,
        };
        self.names.insert(name.to_string(), holds);
        self.append(inode, name, permissions, kind, file_size, name_size);
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        let has_bad_part = name.split('/').any(|part| matches!(part, "" | "." | ".."));
        // An entry called like the end mark would end the archive for every reader.
        if has_bad_part || name.contains('\0') || name == TRAILER {
            return Err(Error::BadName {
                name: name.to_string(),
            });
        }
        if self.names.contains_key(name) {
            return Err(Error::Duplicate {
                name: name.to_string(),
            });
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            if self.names.get(parent) != Some(&Holds::Entries) {
                return Err(Error::MissingFolder {
                    name: name.to_string(),
                    parent: parent.to_string(),
                });
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        inode: u32,
        name: &str,
        permissions: Permissions,
        kind: &Kind<'_>,
        file_size: u32,
        name_size: u32,
    ) {
        let header = Header {
            inode,
            permissions,
            file_size,
            name_size,
        };
        header.write(kind, &mut self.bytes);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(ALIGNMENT);
        self.bytes.extend_from_slice(kind.content());
        self.pad(ALIGNMENT);
    }

    fn pad(&mut self, alignment: usize) {
        let padded = self
            .bytes
            .len()
            .checked_next_multiple_of(alignment)
            .unwrap_or(self.bytes.len());
        self.bytes.resize(padded, 0);
    }
}

#[cfg(test)]
mod tests;
