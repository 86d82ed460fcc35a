//! Where records come from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, statfs};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// `PSTOREFS_MAGIC` (`include/uapi/linux/magic.h`).
const PSTOREFS_MAGIC: u64 = 0x6165_676c;
/// Bytes of a record beyond which it is none: the largest backends have some MiB in all.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// The kernel's name for no backend (`/sys/module/pstore/parameters/backend`).
const NO_BACKEND: &str = "(null)";

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum StoreState {
    /// This kernel has no pstore.
    Unsupported,
    /// Nothing is mounted at its place.
    NotMounted,
    /// No driver keeps records.
    NoBackend,
    /// A driver keeps records.
    Ready {
        /// Its name.
        backend: String,
    },
    /// A plain folder with files that were played or copied.
    Folder,
}

/// A folder of records.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// `/sys/module`.
    modules: PathBuf,
}

/// A record as it lies in the store.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) time_ns: i64,
}

impl Default for Store {
    fn default() -> Self {
        Self::at("/sys/fs/pstore".into())
    }
}

impl Store {
    /// Another folder.
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            modules: "/sys/module".into(),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is.
    pub fn state(&self) -> StoreState {
        let magic = |stat: rustix::fs::StatFs| u64::try_from(stat.f_type).ok();
        let is_mounted = statfs(&self.folder).ok().and_then(magic) == Some(PSTOREFS_MAGIC);
        if !self.folder.starts_with("/sys") && !is_mounted {
            return StoreState::Folder;
        }
        let parameter = self.modules.join("pstore/parameters/backend");
        let Ok(backend) = fs::read_to_string(parameter) else {
            return StoreState::Unsupported;
        };
        match backend.trim() {
            _ if !is_mounted => StoreState::NotMounted,
            "" | NO_BACKEND => StoreState::NoBackend,
            name => StoreState::Ready {
                backend: name.to_owned(),
            },
        }
    }

    /// Names of its files, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let listed = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    names.extend(entry.file_name().into_string().ok());
                }
            }
            names.sort();
            Ok(names)
        };
        listed().map_err(Error::io("list", &self.folder))
    }

    pub(crate) fn read(&self, name: &str) -> io::Result<Found> {
        let path = self.folder.join(name);
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let file: File = OpenOptions::new()
            .read(true)
            .custom_flags(no_follow)
            .open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_RECORD_BYTES.saturating_add(1));
        let length = { read }.read_to_end(&mut bytes)?;
        if u64::try_from(length).unwrap_or(u64::MAX) > MAX_RECORD_BYTES {
            let text = format!("it has more than {MAX_RECORD_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        // A clock that is wrong is no reason to lose what was said: the time stops at the years 1677 and 2262.
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Ok(Found {
            name: name.to_owned(),
            bytes,
            time_ns: seconds.saturating_add(metadata.mtime_nsec()),
        })
    }

    /// Removes a record, which also makes room in the backend.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }
}
