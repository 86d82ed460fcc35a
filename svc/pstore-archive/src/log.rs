//! A boot's records, read.

use pstore::{
    Contents, DumpHeader, Level, Part, Reason, RecordKind, RecordName, Stamp, Unpacked, join,
};
use serde::Serialize;

use crate::archive::{Archive, Entry};
use crate::error::Error;
use crate::manifest::{Manifest, RecordEntry};
use crate::store::StoreState;

/// What a packed record may unpack to.
const MAX_UNPACKED_BYTES: usize = 64 << 20;

/// A line, with nothing borrowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextLine {
    /// How grave it is, 0 to 7; none where lines have no `<…>`.
    pub level: Option<Level>,
    /// Part of the system: 0 the kernel, 1 programs.
    pub facility: Option<u32>,
    /// Microseconds since the kernel started.
    pub time_us: Option<Stamp>,
    /// Thread (`T1`) or processor (`C0`).
    pub caller: Option<String>,
    /// The text.
    pub text: String,
}

/// A record, unpacked.
#[derive(Clone, Debug, Serialize)]
pub struct ReadRecord {
    /// What the archive knows of it.
    #[serde(flatten)]
    pub entry: RecordEntry,
    /// What it is; none: its name is no record's.
    pub kind: Option<RecordKind>,
    /// The backend it was in.
    pub backend: Option<String>,
    /// Its first line, of a dump.
    pub header: Option<DumpHeader>,
    /// Why it could not be unpacked whole.
    pub damage: Option<String>,
    /// What the driver said of the memory.
    pub ecc_notice: Option<String>,
    /// Its bytes, unpacked, without header.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// What was written at one event, its parts joined.
#[derive(Clone, Debug, Serialize)]
pub struct DumpLog {
    /// Why.
    pub reason: Reason,
    /// Number of the dump in its boot.
    pub count: i32,
    /// When, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Names of its records, oldest lines first.
    pub records: Vec<String>,
    /// Parts that are missing.
    pub missing_parts: u32,
    /// It was collected in this boot already by an earlier one.
    pub is_repeated: bool,
    /// Its lines.
    pub lines: Vec<TextLine>,
}

/// Whether the kernel before left its last lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ShutdownLog {
    /// It did.
    Kept {
        /// Number of lines.
        lines: usize,
        /// The last one.
        last_line: String,
        /// Which of the boot's dumps.
        dump: usize,
    },
    /// It did not.
    Absent {
        /// Why, as far as can be told.
        why: Absence,
        /// The same in words.
        message: String,
    },
}

/// Why there is no log of a shutdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// The kernel that collected has no pstore.
    Unsupported,
    /// It was not mounted.
    NotMounted,
    /// No driver kept records.
    NoBackend,
    /// There was not a single record.
    Empty,
    /// There were records, none of them of a shutdown.
    OtherRecords,
    /// There is one, of a boot before the last: it was met before.
    OnlyRepeated,
}

/// A boot's records, read.
#[derive(Clone, Debug, Serialize)]
pub struct BootLog {
    /// What the archive knows.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// The records, unpacked.
    #[serde(rename = "contents")]
    pub records: Vec<ReadRecord>,
    /// What was written at events, in order of time.
    pub dumps: Vec<DumpLog>,
    /// Whether the kernel before left its last lines.
    pub shutdown: ShutdownLog,
}

impl BootLog {
    /// Reads a boot.
    ///
    /// # Errors
    /// A copy cannot be read, or is not what was copied.
    pub fn read(archive: &Archive, entry: &Entry) -> Result<Self, Error> {
        let records = entry.manifest.records.iter();
        let records = records.map(|record| {
            let bytes = archive.read_record(entry, record)?;
            Ok(ReadRecord::new(record, &bytes))
        });
        let records: Vec<_> = records.collect::<Result<_, Error>>()?;
        let dumps = dumps(&records);
        Ok(Self {
            manifest: entry.manifest.clone(),
            shutdown: shutdown(&entry.manifest, &dumps),
            records,
            dumps,
        })
    }

    /// The records of a kind.
    pub fn of_kind(&self, kind: RecordKind) -> impl Iterator<Item = &ReadRecord> {
        let records = self.records.iter();
        records.filter(move |record| record.kind == Some(kind))
    }
}

impl ReadRecord {
    fn new(entry: &RecordEntry, bytes: &[u8]) -> Self {
        let name = RecordName::parse(&entry.name).ok();
        let contents = name
            .as_ref()
            .map(|name| Contents::read(name, bytes, MAX_UNPACKED_BYTES));
        let damage = match contents.as_ref().map(|contents| contents.unpacked) {
            Some(Unpacked::Partly(error)) => Some(error.to_string()),
            _ => None,
        };
        let (header, body, notice) = match contents {
            Some(contents) => (contents.header, contents.body, contents.ecc_notice),
            None => (None, bytes.to_vec(), Vec::new()),
        };
        let notice = String::from_utf8_lossy(&notice).trim().to_owned();
        Self {
            entry: entry.clone(),
            kind: name.as_ref().map(|name| name.kind),
            backend: name.map(|name| name.backend),
            header,
            damage,
            ecc_notice: Some(notice).filter(|notice| !notice.is_empty()),
            body,
        }
    }

    /// Its lines, of a record that is text.
    pub fn lines(&self) -> Vec<TextLine> {
        lines(&self.body)
    }
}

fn lines(text: &[u8]) -> Vec<TextLine> {
    let lines = pstore::lines(text).map(|line| TextLine {
        level: line.level,
        facility: line.facility,
        time_us: line.time,
        caller: line.caller.map(str::to_owned),
        text: line.text.into_owned(),
    });
    lines.collect()
}

fn dumps(records: &[ReadRecord]) -> Vec<DumpLog> {
    let parts = records.iter().enumerate().filter_map(|(index, record)| {
        Some(Part {
            backend: record.backend.as_deref()?,
            header: record.header.as_ref()?,
            time_ns: i128::from(record.entry.time_ns),
            index,
        })
    });
    let dumps = join(parts.collect()).into_iter();
    let dumps = dumps.map(|dump| {
        let of_it = || dump.parts.iter().filter_map(|at| records.get(*at));
        let text: Vec<_> = of_it().flat_map(|record| record.body.clone()).collect();
        DumpLog {
            lines: lines(&text),
            records: of_it().map(|record| record.entry.name.clone()).collect(),
            is_repeated: of_it().all(|record| record.entry.repeated.is_some()),
            reason: dump.reason,
            count: dump.count,
            // Of a record, so that it fits.
            time_ns: i64::try_from(dump.time_ns).unwrap_or(i64::MAX),
            missing_parts: dump.missing_parts,
        }
    });
    dumps.collect()
}

/// The newest dump of a shutdown that was not met before.
fn shutdown(manifest: &Manifest, dumps: &[DumpLog]) -> ShutdownLog {
    let of_shutdowns = || {
        let dumps = dumps.iter().enumerate();
        dumps.filter(|(_, dump)| dump.reason == Reason::Shutdown)
    };
    let new = of_shutdowns().rfind(|(_, dump)| !dump.is_repeated);
    if let Some((at, dump)) = new {
        let last = dump.lines.last();
        return ShutdownLog::Kept {
            lines: dump.lines.len(),
            last_line: last.map(|line| line.text.clone()).unwrap_or_default(),
            dump: at,
        };
    }
    let has_old = of_shutdowns().next().is_some();
    let why = absence(manifest, has_old);
    let message = why.message(manifest);
    ShutdownLog::Absent { why, message }
}

fn absence(manifest: &Manifest, has_old: bool) -> Absence {
    if has_old {
        return Absence::OnlyRepeated;
    }
    if !manifest.records.is_empty() {
        return Absence::OtherRecords;
    }
    match manifest.store {
        StoreState::Unsupported => Absence::Unsupported,
        StoreState::NotMounted => Absence::NotMounted,
        StoreState::NoBackend => Absence::NoBackend,
        StoreState::Ready { .. } | StoreState::Folder => Absence::Empty,
    }
}

impl Absence {
    fn message(&self, manifest: &Manifest) -> String {
        match self {
            Self::Unsupported => "this kernel has no pstore (CONFIG_PSTORE)".to_owned(),
            Self::NotMounted => "pstore was not mounted at /sys/fs/pstore".to_owned(),
            Self::NoBackend => {
                "no backend of pstore was loaded: nothing could be kept; `luoctl pstore setup` names one".to_owned()
            }
            Self::Empty => match manifest.boot.kexec_count {
                Some(0) => "pstore was empty: this was a cold boot".to_owned(),
                _ => "pstore was empty: the kernel before kept nothing, or not for this one; `luoctl pstore check` tells why".to_owned(),
            },
            Self::OtherRecords => {
                let names = manifest.records.iter().map(|record| &*record.name);
                let names: Vec<_> = names.take(5).collect();
                format!(
                    "pstore had {} and no record of a shutdown: max_reason of the backend must be 4",
                    names.join(", ")
                )
            }
            Self::OnlyRepeated => {
                "the only record of a shutdown was there in an earlier boot already: the kernel before this one left none".to_owned()
            }
        }
    }
}
