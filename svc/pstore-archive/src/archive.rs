//! The folder of all boots.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::durable;
use crate::error::Error;
use crate::manifest::{Boot, FORMAT, Manifest, NAME, RecordEntry};

/// Bytes of the longest manifest: a boot with ten thousand records has less.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// The archive.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

/// A boot in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its folder.
    pub folder: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

/// What is in the folder.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Every boot that can be read, the oldest first.
    pub(crate) entries: Vec<Entry>,
    /// Why others cannot.
    pub(crate) unreadable: Vec<Error>,
    /// The highest number of any.
    last_number: u64,
}

/// The lock of an archive: one program at a time changes it.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held until it is dropped")] File);

impl Archive {
    /// In a folder, which is made when something is collected.
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every boot, the oldest first.
    ///
    /// # Errors
    /// [`Error`]: also when the manifest of one cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let scan = self.scan()?;
        match scan.unreadable.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(scan.entries),
        }
    }

    /// Looks at everything, so that one entry that cannot be read hinders nobody from adding another.
    pub(crate) fn scan(&self) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        let listed = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(scan),
            listed => listed.map_err(Error::io("list", &self.folder))?,
        };
        for found in listed {
            let found = found.map_err(Error::io("list", &self.folder))?;
            if !found.path().is_dir() {
                continue;
            }
            let name = found.file_name().to_string_lossy().into_owned();
            let number = name
                .split('-')
                .next()
                .and_then(|digits| digits.parse().ok());
            scan.last_number = scan.last_number.max(number.unwrap_or(0));
            match read(&found.path()) {
                Ok(entry) => scan.entries.extend(entry),
                Err(error) => scan.unreadable.push(error),
            }
        }
        scan.entries.sort_by_key(|entry| entry.manifest.number);
        Ok(scan)
    }

    /// A boot by its number, by the start of its boot id, or counted from the last: `-0` is the last, `-1` the one before.
    ///
    /// # Errors
    /// [`Error::NoBoot`], and those of [`Archive::entries`].
    pub fn entry(&self, wanted: &str) -> Result<Entry, Error> {
        let mut entries = self.entries()?;
        let found = if let Some(back) = wanted.strip_prefix('-') {
            let back: Option<usize> = back.parse().ok();
            back.and_then(|back| entries.len().checked_sub(back.checked_add(1)?))
        } else {
            let number: Option<u64> = wanted.parse().ok();
            let is_it = |entry: &Entry| {
                Some(entry.manifest.number) == number
                    || wanted.len() >= 4 && entry.manifest.boot.boot_id.starts_with(wanted)
            };
            entries.iter().position(is_it)
        };
        match found {
            Some(at) => Ok(entries.swap_remove(at)),
            None => Err(Error::NoBoot {
                wanted: wanted.to_owned(),
            }),
        }
    }

    /// The copy of a record, compared with what was copied.
    ///
    /// # Errors
    /// [`Error::Changed`], [`Error::Io`].
    pub fn read_record(&self, entry: &Entry, record: &RecordEntry) -> Result<Vec<u8>, Error> {
        let path = match &record.repeated {
            None => entry.folder.join(&record.file),
            Some(before) => {
                let wanted = before.number.to_string();
                self.entry(&wanted)?.folder.join(&before.file)
            }
        };
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let found = hash(&bytes);
        if found != record.sha256 {
            let expected = record.sha256.clone();
            return Err(Error::Changed {
                path,
                found,
                expected,
            });
        }
        Ok(bytes)
    }

    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(Error::io("make the folder", &self.folder))?;
        let path = self.folder.join("lock");
        let locked = || -> io::Result<File> {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        locked().map(Lock).map_err(Error::io("lock", &path))
    }

    /// The entry of a boot that collects; a new one is not on the disk yet.
    pub(crate) fn entry_of(&self, scan: &Scan, boot: &Boot, fresh: Manifest) -> Entry {
        let known = scan
            .entries
            .iter()
            .find(|entry| entry.manifest.boot.is_same(boot));
        if let Some(known) = known {
            return known.clone();
        }
        let number = scan.last_number.saturating_add(1);
        let name = format!("{number:06}-{}", plain(&boot.boot_id));
        Entry {
            folder: self.folder.join(name),
            manifest: Manifest { number, ..fresh },
        }
    }

    /// Writes an entry's manifest; from then on what it names is kept.
    pub(crate) fn save(&self, entry: &Entry) -> Result<(), Error> {
        let path = entry.folder.join(NAME);
        let json = serde_json::to_vec_pretty(&entry.manifest)
            .map_err(|source| Error::Manifest { path, source })?;
        durable::write(&entry.folder, NAME, &json)?;
        durable::sync(&self.folder).map_err(Error::io("sync", &self.folder))
    }

    /// Removes the oldest boots until `keep` are left; not those whose copies later boots refer to. How many were removed.
    pub(crate) fn prune(&self, keep: usize) -> Result<usize, Error> {
        let entries = self.scan()?.entries;
        let old = entries.len().saturating_sub(keep.max(1));
        let (old, kept) = entries.split_at(old);
        let records = kept.iter().flat_map(|entry| &entry.manifest.records);
        let needed: BTreeSet<u64> = records
            .filter_map(|record| Some(record.repeated.as_ref()?.number))
            .collect();
        let old = old.iter();
        let gone = old.filter(|entry| !needed.contains(&entry.manifest.number));
        let mut count = 0_usize;
        for entry in gone {
            // First what makes it a boot of the archive.
            let path = entry.folder.join(NAME);
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            fs::remove_dir_all(&entry.folder).map_err(Error::io("remove", &entry.folder))?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

/// What the bytes hash to, in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry; `None` where there is no manifest.
fn read(folder: &Path) -> Result<Option<Entry>, Error> {
    let path = folder.join(NAME);
    let opened = match File::open(&path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        opened => opened.map_err(Error::io("open", &path))?,
    };
    let text = io::read_to_string(io::Read::take(opened, MAX_MANIFEST_BYTES));
    let text = text.map_err(Error::io("read", &path))?;
    let wrong = |source| Error::Manifest {
        path: path.clone(),
        source,
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
    // Before anything else is understood.
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    let format = u32::try_from(format.unwrap_or(0)).unwrap_or(u32::MAX);
    if format > FORMAT {
        return Err(Error::TooNew {
            path,
            found: format,
            supported: FORMAT,
        });
    }
    let manifest: Manifest = serde_json::from_str(&text).map_err(wrong)?;
    Ok(Some(Entry {
        folder: folder.to_owned(),
        manifest,
    }))
}

/// A boot id as a part of a file name.
pub(crate) fn plain(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    text.chars().filter(is_plain).take(64).collect()
}
