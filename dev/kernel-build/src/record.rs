//! `kernel.json`: what a finished kernel in the cache is. Written last, so that its presence means finished.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, io_error};

/// Name of the record in a kernel's folder.
pub(crate) const RECORD_FILE: &str = "kernel.json";

/// The one layout of the record; another number is another program's and is ignored.
const FORMAT: u32 = 1;

/// Where a kernel's source came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Origin {
    /// A Debian source package.
    Package {
        /// `linux-source-7.3`.
        name: String,
    },
    /// A tree of the user.
    Tree {
        /// Its folder, absolute.
        path: PathBuf,
    },
}

/// A finished kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Layout of this record.
    pub format: u32,
    /// Package version, or the tree's `make kernelversion`.
    pub version: String,
    /// `make kernelrelease`: what `uname -r` prints under this kernel.
    pub release: String,
    /// Hash of the configuration fragment and the recipe.
    pub config_hash: String,
    /// Where the source came from.
    pub origin: Origin,
    /// First line of `gcc --version`.
    pub compiler: String,
    /// Objects compiled, the estimate for the next build.
    pub objects: u64,
    /// Time of the build.
    pub build_seconds: u64,
}

impl Record {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// Reads the record of a folder; `None` when there is none of this format, which means unfinished.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(RECORD_FILE)).ok()?;
        let record: Self = serde_json::from_str(&text).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// Writes the record so that it is there whole or not at all.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(Error::Encode)?;
        let path = folder.join(RECORD_FILE);
        let fresh = folder.join("kernel.json.new");
        fs::write(&fresh, text + "\n").map_err(io_error("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(io_error("write", &path))
    }

    /// Makes a folder unfinished until the next [`write`](Self::write).
    pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}
