//! What a folder looks like, written down.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// In front of the number of a tree.
const TREE: &str = "tree-";
/// In front of the number of a file.
const FILE: &str = "file-";
/// Longest description read: 16384 entries with long names.
const MAX_BYTES: u64 = 64 << 20;

/// A folder, without the content of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) state: State,
    /// When it was taken, since 1970.
    pub(crate) taken_at: Option<Duration>,
    /// Parents before what is in them.
    pub(crate) entries: Vec<Entry>,
}

/// Where the files of a tree are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// In keeping only: their names are to be made.
    Taken,
    /// In keeping, and their names link to them, unless the program has removed them since.
    Placed,
}

/// One name in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Relative to the folder.
    pub(crate) path: String,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Time of the last change of the content, in seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, u32),
    pub(crate) kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Folder,
    /// A symbolic link of the program's own.
    Link {
        target: String,
    },
    /// A file, kept under the name `item`.
    File {
        item: String,
        size_bytes: u64,
    },
}

impl Entry {
    /// Bytes to be preserved for it.
    pub(crate) const fn size_bytes(&self) -> u64 {
        match self.kind {
            Kind::File { size_bytes, .. } => size_bytes,
            Kind::Folder | Kind::Link { .. } => 0,
        }
    }
}

impl Tree {
    /// A memfd that describes the folder.
    pub(crate) fn write(&self) -> Result<OwnedFd, Error> {
        let at = |error| Error::io("describing the folder", Path::new("(memfd)"), error);
        let json = serde_json::to_vec(self).map_err(|error| Error::Tree {
            what: error.to_string(),
        })?;
        let memfd = luo_sys::create_memfd("kept-folder").map_err(|errno| at(errno.into()))?;
        let mut file = File::from(memfd);
        file.write_all(&json).map_err(at)?;
        Ok(file.into())
    }

    pub(crate) fn read(memfd: OwnedFd) -> Result<Self, Error> {
        let at = |error| Error::io("reading the description", Path::new("(memfd)"), error);
        let mut file = File::from(memfd);
        std::io::Seek::rewind(&mut file).map_err(at)?;
        let mut json = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut json).map_err(at)?;
        serde_json::from_slice(&json).map_err(|error| Error::Tree {
            what: error.to_string(),
        })
    }
}

pub(crate) fn tree_name(number: u64) -> String {
    format!("{TREE}{number}")
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{FILE}{number}")
}

pub(crate) fn is_tree(name: &str) -> bool {
    name.starts_with(TREE)
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The tree written last.
pub(crate) fn newest(names: &[String]) -> Option<&str> {
    let trees = names
        .iter()
        .filter_map(|name| Some((number(name, TREE)?, name)));
    trees.max().map(|(_, name)| name.as_str())
}

/// A number above all of those in use.
pub(crate) fn next_number(names: &[String]) -> u64 {
    let used = names
        .iter()
        .filter_map(|name| number(name, TREE).or_else(|| number(name, FILE)));
    used.max().map_or(1, |used| used.saturating_add(1))
}
