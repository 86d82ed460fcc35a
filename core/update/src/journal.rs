//! What must be known on the other side of the jump, and its bytes.
//!
//! Layout (all integers little-endian):
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | magic `[u8; 8]` | `LUODJRNL` |
//! | 8 | version u16 | of the writer: [`VERSION`] |
//! | 10 | reader u16 | oldest reader version that understands the payload |
//! | 12 | checksum u32 | CRC-32 (IEEE) of the payload |
//! | 16 | length u64 | of the payload in bytes |
//! | 24 | payload | JSON of [`Journal`] |
//! | 24 + length | changes | since the payload was written; only where `reader` is 2 or more |
//!
//! A change is its length u32, the CRC-32 of its JSON u32, and the JSON; a length of zero ends them,
//! and so does the end of the bytes, even inside a change. What is handed over to the next kernel has
//! no changes.
//!
//! The first 24 bytes never change. The payload evolves: an older reader ignores fields it does
//! not know, every field added later states its default when absent. A change an older reader
//! would misunderstand raises `reader`, and that reader refuses with [`JournalError::TooNew`].

mod log;
mod writer;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::boot::PreviousLog;
use crate::manifest::ServiceRecord;
use crate::phase::Phase;
use crate::timeline::Timeline;

pub use writer::{Writer, Written};

/// First bytes of a journal.
pub const MAGIC: [u8; 8] = *b"LUODJRNL";
/// Version this code writes, and the newest `reader` it satisfies.
pub const VERSION: u16 = 2;
/// Oldest reader that understands a journal without changes behind it.
const OLDEST_READER: u16 = 1;
/// First version whose journals may have changes behind the payload.
const FIRST_WITH_CHANGES: u16 = 2;
/// Bytes before the payload.
pub const HEADER_LEN: usize = 24;
/// Longest payload: room for 100,000 items; bounds what a reader allocates.
pub const MAX_PAYLOAD: u64 = 64 << 20;

/// Everything the agent must not forget: over its own restart and over a live update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// How far the host is.
    #[serde(default)]
    pub phase: Phase,
    /// What is kept for whom.
    #[serde(default)]
    pub services: Vec<Arc<ServiceRecord>>,
    /// The update under way, or the last one. Default when absent: none since the cold boot.
    #[serde(default)]
    pub update: Option<UpdateRecord>,
    /// Why what the previous kernel handed over cannot be read. Default when absent: it could be.
    #[serde(default)]
    pub handover_error: Option<String>,
}

/// One update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRecord {
    /// Its identity, from the request to the report.
    pub id: String,
    /// Kernel release it left.
    #[serde(default)]
    pub from_release: String,
    /// Kernel release it arrived at. Default when absent: it has not.
    #[serde(default)]
    pub to_release: Option<String>,
    /// Why it was cancelled. Default when absent: it was not.
    #[serde(default)]
    pub cancelled: Option<String>,
    /// How many updates this host has had since its cold boot, by the kernel's count.
    #[serde(default)]
    pub liveupdate_number: Option<u64>,
    /// How many kexecs with a handover, by the kernel's count.
    #[serde(default)]
    pub kexec_count: Option<u32>,
    /// How many kexecs systemd had carried descriptor stores over before. Default when absent: luod
    /// was no service of systemd.
    #[serde(default)]
    pub systemd_kexec_count: Option<u64>,
    /// What went wrong beside luod's own sessions. Default when absent: nothing.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the kernel before left of its log. Default when absent: nobody has looked yet.
    #[serde(default)]
    pub previous_log: Option<PreviousLog>,
    /// When what happened.
    #[serde(default)]
    pub timeline: Timeline,
    /// Programs that take part, in their order. Default when absent: none.
    #[serde(default)]
    pub programs: Vec<ProgramRecord>,
}

/// A program that takes part in an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// Its file name.
    pub name: String,
    /// What it wants to be given when it is started again. Default when absent: nothing.
    #[serde(default)]
    pub payload: String,
    /// Why it failed in the next kernel. Default when absent: it has not.
    #[serde(default)]
    pub failed: Option<String>,
    /// How far it is. Default when absent: prepared.
    #[serde(default)]
    pub state: ProgramState,
}

/// How far a program is in an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramState {
    /// It was asked to prepare.
    #[default]
    Prepared,
    /// It was started in the next kernel.
    Booted,
    /// It was told that all is finished.
    Finished,
}

impl Journal {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceRecord> {
        let service = self.services.iter().find(|service| service.name == name);
        service.map(|service| &**service)
    }

    /// The service of this name, to change it.
    pub fn service_mut(&mut self, name: &str) -> Option<&mut ServiceRecord> {
        let mut all = self.services.iter_mut();
        all.find(|service| service.name == name).map(Arc::make_mut)
    }

    /// Every service, to change it.
    pub fn services_mut(&mut self) -> impl Iterator<Item = &mut ServiceRecord> {
        self.services.iter_mut().map(Arc::make_mut)
    }

    /// Names of services whose sessions came over and are not finished.
    pub fn unfinished(&self) -> Vec<String> {
        let unfinished = self.services.iter().filter(|service| service.is_incoming());
        unfinished.map(|service| service.name.clone()).collect()
    }
}

/// Why bytes are no journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Fewer bytes than a header.
    #[error("the journal has {found} bytes, its header alone {HEADER_LEN}")]
    Truncated {
        /// Bytes found.
        found: usize,
    },
    /// Something else.
    #[error("the journal starts with {}, not with {}", found.escape_ascii(), MAGIC.escape_ascii())]
    Magic {
        /// Bytes found.
        found: [u8; 8],
    },
    /// Written by an agent whose journals this one does not understand.
    #[error(
        "the journal was written by version {writer} and needs a reader of version {needed} or newer, this one is {VERSION}"
    )]
    TooNew {
        /// Version of the writer.
        writer: u16,
        /// Oldest reader it allows.
        needed: u16,
    },
    /// The payload is not all there, or more than any journal has.
    #[error("the journal's payload should have {claimed} bytes, {found} are there")]
    Length {
        /// Bytes its header says.
        claimed: u64,
        /// Bytes after the header.
        found: usize,
    },
    /// The payload was changed.
    #[error("the journal's checksum is {found:#010x}, its header says {claimed:#010x}")]
    Checksum {
        /// What the header says.
        claimed: u32,
        /// What the payload has.
        found: u32,
    },
    /// The payload is no JSON of a journal.
    #[error("the journal's payload cannot be read")]
    Payload(#[source] serde_json::Error),
}

/// The bytes of `journal`.
///
/// # Errors
/// [`JournalError::Payload`] when it cannot be written as JSON, which no journal of ours does.
pub fn encode(journal: &Journal) -> Result<Vec<u8>, JournalError> {
    let payload = serde_json::to_vec(journal).map_err(JournalError::Payload)?;
    Ok(with_header(&payload, OLDEST_READER))
}

fn with_header(payload: &[u8], reader: u16) -> Vec<u8> {
    let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(payload.len()));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&reader.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads a journal and the changes behind it, if it is of a kind that has them; other bytes after its
/// payload are ignored.
///
/// # Errors
/// [`JournalError`] names the first thing found wrong. Nothing is allocated by what a header
/// merely claims.
pub fn decode(bytes: &[u8]) -> Result<Journal, JournalError> {
    let header = Header::parse(bytes)?;
    if header.magic != MAGIC {
        return Err(JournalError::Magic {
            found: header.magic,
        });
    }
    if header.reader > VERSION {
        return Err(JournalError::TooNew {
            writer: header.version,
            needed: header.reader,
        });
    }
    let rest = bytes.get(HEADER_LEN..).unwrap_or_default();
    let (payload, changes) = usize::try_from(header.length)
        .ok()
        .filter(|_| header.length <= MAX_PAYLOAD)
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(JournalError::Length {
            claimed: header.length,
            found: rest.len(),
        })?;
    let found = crc32fast::hash(payload);
    if found != header.checksum {
        return Err(JournalError::Checksum {
            claimed: header.checksum,
            found,
        });
    }
    let mut journal = serde_json::from_slice(payload).map_err(JournalError::Payload)?;
    if header.reader >= FIRST_WITH_CHANGES {
        log::replay(&mut journal, changes)?;
    }
    Ok(journal)
}

struct Header {
    magic: [u8; 8],
    version: u16,
    reader: u16,
    checksum: u32,
    length: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        Self::fields(bytes).ok_or(JournalError::Truncated { found: bytes.len() })
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (reader, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        Some(Self {
            magic: *magic,
            version: u16::from_le_bytes(*version),
            reader: u16::from_le_bytes(*reader),
            checksum: u32::from_le_bytes(*checksum),
            length: u64::from_le_bytes(*length),
        })
    }
}

#[cfg(test)]
mod tests;
