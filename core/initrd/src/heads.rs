//! What stands in front of the contents of an archive: headers and names, without the contents.
//!
//! [`Heads`] knows what the archive holds so far and refuses what the kernel would misread or leave
//! out. Whoever has the contents in files sends them from there; [`Archive`](crate::Archive) puts
//! both into memory.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use crate::entry::{Attributes, Header, Kind, Permissions};
use crate::error::Error;

/// Name of the end mark.
const TRAILER: &str = "TRAILER!!!";
/// Longest name or link target that the kernel takes, with the final NUL (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// Every header, name and content starts on a multiple of this.
const ALIGNMENT: u64 = 4;
/// The finished archive is a multiple of this, as `cpio` and the kernel's `gen_init_cpio` make it.
const BLOCK: u64 = 512;

/// Whether other entries can lie in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Entries,
    Nothing,
}

/// What stands in front of a content, and what behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Head {
    /// Header and name, to be written before the content; of a link, its target too.
    pub bytes: Vec<u8>,
    /// Zeros to be written behind the content: at most 3.
    pub padding: usize,
}

/// The heads of an archive's entries, in order. The same entries always have the same.
#[derive(Debug, Default)]
pub struct Heads {
    names: BTreeMap<String, Holds>,
    last_inode: u32,
    /// Bytes of the archive so far, with contents and padding.
    position: u64,
}

impl Heads {
    /// Starts an archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a name is a folder of the archive.
    #[must_use]
    pub fn has_folder(&self, name: &str) -> bool {
        self.names.get(name) == Some(&Holds::Entries)
    }

    /// Takes a folder for there: what stands before the archive has it.
    pub fn assume_folder(&mut self, name: &str) {
        self.names.insert(name.to_string(), Holds::Entries);
    }

    /// Adds an entry. Its name is relative to the root, without a leading slash, and the folder it
    /// lies in comes before.
    ///
    /// # Errors
    /// [`Error`] names the reason; nothing was added.
    pub fn entry(
        &mut self,
        name: &str,
        attributes: impl Into<Attributes>,
        kind: &Kind<'_>,
    ) -> Result<Head, Error> {
        let (others, content_bytes) = match kind {
            Kind::File { bytes, other_names } => (*other_names, size(name, *bytes)?),
            Kind::Symlink(target) => (&[][..], target_size(name, target)?),
            Kind::Folder | Kind::Device(_) | Kind::Fifo | Kind::Socket => (&[][..], 0),
        };
        let mut names = vec![name];
        names.extend_from_slice(others);
        for (index, name) in names.iter().enumerate() {
            self.check_name(name)?;
            if names.iter().take(index).any(|other| other == name) {
                let name = (*name).to_string();
                return Err(Error::Duplicate { name });
            }
        }
        let inode = self.last_inode.checked_add(1);
        let inode = inode.ok_or(Error::TooManyEntries)?;
        let header = Header::new(inode, attributes.into(), kind);
        let mut bytes = Vec::new();
        // The content comes with the last name.
        while let Some((name, rest)) = names.split_first() {
            let content_bytes = if rest.is_empty() { content_bytes } else { 0 };
            append(&header, name, content_bytes, &mut bytes);
            names = rest.to_vec();
        }
        let mut content_bytes = u64::from(content_bytes);
        if let Kind::Symlink(target) = kind {
            bytes.extend_from_slice(target.as_bytes());
            content_bytes = 0;
        }
        let end = self.end_of(&bytes).saturating_add(content_bytes);
        let padding = padding(end, ALIGNMENT);
        self.position = end.saturating_add(u64::try_from(padding).unwrap_or(0));
        self.last_inode = inode;
        let holds = match kind {
            Kind::Folder => Holds::Entries,
            _ => Holds::Nothing,
        };
        for name in [name].iter().chain(others) {
            self.names.insert((*name).to_string(), holds);
        }
        Ok(Head { bytes, padding })
    }

    /// Adds a folder and those above it, each unless it is there already, as `rwxr-xr-x`.
    ///
    /// # Errors
    /// As [`Heads::entry`]; folders above may have been added.
    pub fn folders(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let ends = name
            .match_indices('/')
            .map(|(index, _)| index)
            .chain([name.len()]);
        let mut bytes = Vec::new();
        for end in ends {
            let Some(part) = name.get(..end) else { break };
            if !self.has_folder(part) {
                let head = self.entry(part, Permissions::PROGRAM, &Kind::Folder)?;
                bytes.extend(head.bytes);
                bytes.resize(bytes.len().saturating_add(head.padding), 0);
            }
        }
        Ok(bytes)
    }

    /// Ends the archive: the end mark, and zeros up to a multiple of 512.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header {
            link_count: 1,
            ..Header::default()
        };
        append(&header, TRAILER, 0, &mut bytes);
        let padding = padding(self.end_of(&bytes), BLOCK);
        bytes.resize(bytes.len().saturating_add(padding), 0);
        bytes
    }

    fn end_of(&self, bytes: &[u8]) -> u64 {
        let added = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.position.saturating_add(added)
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        let has_bad_part = name.split('/').any(|part| matches!(part, "" | "." | ".."));
        // An entry called like the end mark would end the archive for every reader.
        if has_bad_part || name.contains('\0') || name == TRAILER {
            return Err(Error::BadName {
                name: name.to_string(),
            });
        }
        if name.len() >= PATH_MAX {
            return Err(Error::NameTooLong { len: name.len() });
        }
        if self.names.contains_key(name) {
            return Err(Error::Duplicate {
                name: name.to_string(),
            });
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            if !self.has_folder(parent) {
                return Err(Error::MissingFolder {
                    name: name.to_string(),
                    parent: parent.to_string(),
                });
            }
        }
        Ok(())
    }
}

fn size(name: &str, bytes: u64) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_too_large| Error::FileTooLarge {
        name: name.to_string(),
        len: bytes,
    })
}

fn target_size(name: &str, target: &str) -> Result<u32, Error> {
    let size = u32::try_from(target.len()).ok();
    let is_good = !target.is_empty() && target.len() <= PATH_MAX && !target.contains('\0');
    size.filter(|_| is_good).ok_or_else(|| Error::BadTarget {
        name: name.to_string(),
    })
}

fn append(header: &Header, name: &str, content_bytes: u32, out: &mut Vec<u8>) {
    // A name is shorter than `PATH_MAX`.
    let name_bytes = u32::try_from(name.len().saturating_add(1)).unwrap_or(u32::MAX);
    header.write(name_bytes, content_bytes, out);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    // An entry starts at a multiple of 4, and so does `out`.
    let padded = out.len().checked_next_multiple_of(4);
    out.resize(padded.unwrap_or(out.len()), 0);
}

/// Zeros up to the next multiple.
fn padding(position: u64, multiple: u64) -> usize {
    let next = position.checked_next_multiple_of(multiple);
    let zeros = next.unwrap_or(position).saturating_sub(position);
    usize::try_from(zeros).unwrap_or(0)
}
