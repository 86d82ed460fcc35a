//! What stands behind a journal's payload: changes, in the order they were made.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Journal, JournalError, UpdateRecord};
use crate::manifest::ServiceRecord;
use crate::phase::Phase;
use crate::timeline::Mark;

/// Bytes in front of a change: its length and its checksum.
const PREFIX_LEN: usize = 8;

/// One change of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// A service: the one of this name is replaced, else it is added at the end.
    Service(Arc<ServiceRecord>),
    /// The service of this name is taken out.
    Gone(String),
    /// One more mark in the update's timeline.
    Mark(Mark),
    /// Another update, or another state of it.
    Update(Option<UpdateRecord>),
    /// How far the host is.
    Phase(Phase),
    /// Why the handover cannot be read.
    HandoverError(Option<String>),
}

/// Changes as they are written.
pub(super) fn encode(changes: &[Change]) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    for change in changes {
        let json = serde_json::to_vec(change).map_err(JournalError::Payload)?;
        let length = u32::try_from(json.len()).map_err(|_too_long| JournalError::Length {
            claimed: u64::from(u32::MAX),
            found: json.len(),
        })?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
        bytes.extend_from_slice(&json);
    }
    Ok(bytes)
}

/// Makes every change in `bytes`. A last one that is cut short was never answered for: it is left
/// out. A length of zero is padding, which ends the log.
pub(super) fn replay(journal: &mut Journal, mut bytes: &[u8]) -> Result<(), JournalError> {
    while let Some((json, claimed, rest)) = split(bytes) {
        let found = crc32fast::hash(json);
        if found != claimed {
            return Err(JournalError::Checksum { claimed, found });
        }
        let change = serde_json::from_slice(json).map_err(JournalError::Payload)?;
        apply(journal, change);
        bytes = rest;
    }
    Ok(())
}

/// The next change's JSON and checksum, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX_LEN>()?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *prefix;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    if length == 0 {
        return None;
    }
    let (json, rest) = rest.split_at_checked(length)?;
    Some((json, u32::from_le_bytes([c0, c1, c2, c3]), rest))
}

/// Makes one change.
pub(super) fn apply(journal: &mut Journal, change: Change) {
    match change {
        Change::Service(service) => {
            let mut all = journal.services.iter_mut();
            match all.find(|known| known.name == service.name) {
                Some(known) => *known = service,
                None => journal.services.push(service),
            }
        }
        Change::Gone(name) => journal.services.retain(|service| service.name != name),
        Change::Mark(mark) => {
            let update = journal.update.get_or_insert_default();
            update.timeline.marks.push(mark);
        }
        Change::Update(update) => journal.update = update,
        Change::Phase(phase) => journal.phase = phase,
        Change::HandoverError(error) => journal.handover_error = error,
    }
}
