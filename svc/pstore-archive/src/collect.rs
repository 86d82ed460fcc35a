//! Collecting: from the store into the archive.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use pstore::{RecordKind, RecordName};
use serde::Serialize;

use crate::archive::{Archive, Entry, hash};
use crate::durable;
use crate::error::Error;
use crate::manifest::{Boot, FORMAT, Manifest, RecordEntry, Repeated};
use crate::store::{Found, Store, StoreState};

/// What becomes of a record in the store once its copy is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays, for whoever comes next: systemd-pstore.
    Leave,
    /// It is removed, and its place in the backend is free.
    Remove,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Nothing is written or removed: what would be is told.
    Rehearsal,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is new, and in the archive now.
    Copied,
    /// This boot had collected it already.
    Known,
    /// An earlier boot had collected it: it is left over in the store.
    Repeated,
    /// It cannot be read.
    Unreadable(String),
}

/// A record that was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Its name in the store.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it is gone from the store.
    pub is_removed: bool,
    /// Why it is not, although it should be: backends may have no way to remove one.
    pub not_removed: Option<String>,
}

/// What collecting did.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The boot's entry.
    pub entry: Entry,
    /// What the store was.
    pub store: StoreState,
    /// Its records.
    pub records: Vec<Taken>,
    /// How many old boots were removed from the archive.
    pub pruned: usize,
}

impl Archive {
    /// Copies every record of `store` that is new into the entry of `boot`. At most `keep` boots stay in the archive.
    ///
    /// # Errors
    /// The archive cannot be read or written, or the store cannot be listed: then nothing is removed from the store. A
    /// single record that cannot be read is no error.
    pub fn collect(
        &self,
        store: &Store,
        boot: &Boot,
        afterwards: Afterwards,
        extent: Extent,
        keep: usize,
    ) -> Result<Collected, Error> {
        let _lock = match extent {
            Extent::Whole => Some(self.lock()?),
            Extent::Rehearsal => None,
        };
        let state = store.state();
        let has_records = matches!(state, StoreState::Ready { .. } | StoreState::Folder);
        let names = if has_records {
            store.names()?
        } else {
            Vec::new()
        };
        let mut collection = Collection::begin(self, boot, &state, extent)?;
        let mut records = Vec::new();
        for name in names {
            let outcome = match store.read(&name) {
                Ok(found) => collection.take(found)?,
                Err(error) => collection.miss(&name, &error),
            };
            records.push(Taken {
                name,
                outcome,
                is_removed: false,
                not_removed: None,
            });
        }
        let entry = collection.entry;
        let mut pruned = 0;
        if extent == Extent::Whole {
            self.save(&entry)?;
            if afterwards == Afterwards::Remove {
                records.iter_mut().for_each(|record| remove(store, record));
            }
            pruned = self.prune(keep)?;
        }
        Ok(Collected {
            entry,
            store: state,
            records,
            pruned,
        })
    }
}

/// The manifest that names the copy is on the disk.
fn remove(store: &Store, record: &mut Taken) {
    if matches!(record.outcome, Outcome::Unreadable(_)) {
        return;
    }
    match store.remove(&record.name) {
        Ok(()) => record.is_removed = true,
        Err(error) => record.not_removed = Some(error.to_string()),
    }
}

/// An entry that grows.
struct Collection {
    entry: Entry,
    earlier: Vec<Entry>,
    extent: Extent,
}

impl Collection {
    fn begin(
        archive: &Archive,
        boot: &Boot,
        store: &StoreState,
        extent: Extent,
    ) -> Result<Self, Error> {
        // What cannot be read is left alone: it is no reason to lose what can be kept now.
        let scan = archive.scan()?;
        let fresh = Manifest {
            format: FORMAT,
            number: 0,
            boot: boot.clone(),
            collected_ns: now_ns(),
            store: store.clone(),
            records: Vec::new(),
            unreadable: std::collections::BTreeMap::new(),
        };
        let mut entry = archive.entry_of(&scan, boot, fresh);
        let mut earlier = scan.entries;
        earlier.retain(|other| other.manifest.number < entry.manifest.number);
        let manifest = &mut entry.manifest;
        // What was not known yet early in the boot.
        manifest.boot.kexec_count = manifest.boot.kexec_count.or(boot.kexec_count);
        let previous = manifest.boot.previous_release.take();
        manifest.boot.previous_release = previous.or_else(|| boot.previous_release.clone());
        manifest.store = store.clone();
        manifest.unreadable.clear();
        if extent == Extent::Whole {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&entry.folder);
            made.map_err(Error::io("make the folder", &entry.folder))?;
        }
        Ok(Self {
            entry,
            earlier,
            extent,
        })
    }

    fn take(&mut self, found: Found) -> Result<Outcome, Error> {
        let sha256 = hash(&found.bytes);
        let known = self.entry.manifest.records.iter();
        let mut known = known.filter(|record| record.name == found.name);
        if known.any(|record| record.sha256 == sha256) {
            return Ok(Outcome::Known);
        }
        let mut record = RecordEntry {
            file: self.free_name(&found.name),
            bytes: u64::try_from(found.bytes.len()).unwrap_or(u64::MAX),
            time_ns: found.time_ns,
            name: found.name,
            sha256,
            repeated: None,
        };
        record.repeated = self.before(&record);
        let outcome = if record.repeated.is_some() {
            Outcome::Repeated
        } else {
            if self.extent == Extent::Whole {
                durable::write(&self.entry.folder, &record.file, &found.bytes)?;
            }
            Outcome::Copied
        };
        self.entry.manifest.records.push(record);
        Ok(outcome)
    }

    fn miss(&mut self, name: &str, error: &io::Error) -> Outcome {
        let why = error.to_string();
        let unreadable = &mut self.entry.manifest.unreadable;
        unreadable.insert(name.to_owned(), why.clone());
        Outcome::Unreadable(why)
    }

    /// A record that stays in the store until it is removed is met at every boot. What kernels write to the console is
    /// wiped, and two boots may well say the same: only what has a time of its own can be one thing met twice.
    fn before(&self, record: &RecordEntry) -> Option<Repeated> {
        let kind = RecordName::parse(&record.name).ok()?.kind;
        if !matches!(kind, RecordKind::Dmesg | RecordKind::Mce) {
            return None;
        }
        self.earlier.iter().rev().find_map(|entry| {
            let same = |other: &&RecordEntry| {
                (&other.name, other.time_ns, &other.sha256)
                    == (&record.name, record.time_ns, &record.sha256)
                    && other.repeated.is_none()
            };
            let other = entry.manifest.records.iter().find(same)?;
            Some(Repeated {
                number: entry.manifest.number,
                file: other.file.clone(),
            })
        })
    }

    /// The name itself, or with a number behind it when this boot has had another record of that name.
    fn free_name(&self, name: &str) -> String {
        let records = self.entry.manifest.records.iter();
        let taken: BTreeSet<&str> = records.map(|record| &*record.file).collect();
        let numbered = (2_u32..).map(|number| format!("{name}~{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let is_free = |name: &String| !taken.contains(&**name) && name != crate::manifest::NAME;
        names.find(is_free).unwrap_or_default()
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
