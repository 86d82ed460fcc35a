//! `boot.json`: what was collected in a boot.
//!
//! `format` is the version of the oldest reader that understands the file; a reader refuses newer ones and ignores fields it
//! does not know. Every field added later states its default when absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::StoreState;

/// Name of the file.
pub(crate) const NAME: &str = "boot.json";
/// The format that is written, and the newest that is read.
pub(crate) const FORMAT: u32 = 1;

/// A boot that collects, as it knows itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Release of its kernel.
    pub release: String,
    /// Kexecs with a handover since the cold boot; none where it is not known.
    pub kexec_count: Option<u32>,
    /// Release of the kernel it was started by; none after a cold boot, and where it is not known.
    pub previous_release: Option<String>,
}

impl Boot {
    /// Whether both are the same boot; a count that was not known yet is no difference.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let counts = self.kexec_count.zip(other.kexec_count);
        self.boot_id == other.boot_id && counts.is_none_or(|(one, two)| one == two)
    }
}

/// What was collected in a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the oldest reader.
    pub format: u32,
    /// The archive's number of the boot, from 1.
    pub number: u64,
    /// The boot that collected. Its records are of the kernels before it.
    #[serde(flatten)]
    pub boot: Boot,
    /// When it first collected, in nanoseconds since 1970, by its clock.
    pub collected_ns: u64,
    /// What the store was when it last collected.
    pub store: StoreState,
    /// The records.
    pub records: Vec<RecordEntry>,
    /// Files of the store that could not be read, and why. Default when absent: none.
    #[serde(default)]
    pub unreadable: BTreeMap<String, String>,
}

/// A record in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordEntry {
    /// What it was called in the store.
    pub name: String,
    /// What it is called in the boot's folder.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was written, in nanoseconds since 1970, by the clock of the kernel that wrote it.
    pub time_ns: i64,
    /// Hash of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// It was collected in an earlier boot already, and its file is there. Default when absent: it was not.
    #[serde(default)]
    pub repeated: Option<Repeated>,
}

/// Where the copy of a record is that was collected before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeated {
    /// Number of the boot.
    pub number: u64,
    /// Its file there.
    pub file: String,
}
