//! A journal that is written again and again: once whole, then what changes.
//!
//! A host with thousands of services changes one of them at a time, and each change is saved before
//! it is answered. What a change costs must not grow with what is kept.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::log::{self, Change};
use super::{HEADER_LEN, Journal, JournalError, UpdateRecord, with_header};
use crate::manifest::ServiceRecord;

/// Oldest reader that understands changes behind the payload.
const OLDEST_READER_OF_CHANGES: u16 = 2;
/// Changes are worth this many bytes, or as many as the journal they change, before it is written
/// whole again.
const MIN_LOG_BYTES: usize = 64 << 10;

/// Writes journals; what it writes is read by [`decode`](super::decode).
#[derive(Debug, Default)]
pub struct Writer {
    /// The journal as a reader of everything written so far gets it.
    known: Option<Journal>,
    whole_bytes: usize,
    log_bytes: usize,
}

/// Bytes to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Instead of what was written before.
    Whole(Vec<u8>),
    /// Behind what was written before. Cut short anywhere, the reader gets the journal as it was.
    Added(Vec<u8>),
}

impl Writer {
    /// The bytes that make a reader get `journal`.
    ///
    /// # Errors
    /// [`JournalError::Payload`] when it cannot be written as JSON, which no journal of ours does.
    pub fn write(&mut self, journal: &Journal) -> Result<Written, JournalError> {
        let changes = self
            .known
            .as_ref()
            .and_then(|known| changes(known, journal));
        let limit = self.whole_bytes.max(MIN_LOG_BYTES);
        let (Some(changes), Some(known)) = (changes, &mut self.known) else {
            return self.write_whole(journal);
        };
        if self.log_bytes > limit {
            return self.write_whole(journal);
        }
        let bytes = log::encode(&changes)?;
        for change in changes {
            log::apply(known, change);
        }
        self.log_bytes = self.log_bytes.saturating_add(bytes.len());
        Ok(Written::Added(bytes))
    }

    /// What was written last did not get where it should: the next journal is written whole.
    pub fn forget(&mut self) {
        self.known = None;
    }

    fn write_whole(&mut self, journal: &Journal) -> Result<Written, JournalError> {
        let payload = serde_json::to_vec(journal).map_err(JournalError::Payload)?;
        let bytes = with_header(&payload, OLDEST_READER_OF_CHANGES);
        self.known = Some(journal.clone());
        self.whole_bytes = bytes.len().saturating_sub(HEADER_LEN);
        self.log_bytes = 0;
        Ok(Written::Whole(bytes))
    }
}

/// What makes `new` of `old`; `None` when that is no small change.
fn changes(old: &Journal, new: &Journal) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    if old.phase != new.phase {
        changes.push(Change::Phase(new.phase));
    }
    if old.handover_error != new.handover_error {
        changes.push(Change::HandoverError(new.handover_error.clone()));
    }
    changed_services(&old.services, &new.services, &mut changes)?;
    changed_update(old.update.as_ref(), new.update.as_ref(), &mut changes);
    Some(changes)
}

type Services = [Arc<ServiceRecord>];

/// Services are added at the end, changed where they are, and taken out anywhere.
fn changed_services(old: &Services, new: &Services, changes: &mut Vec<Change>) -> Option<()> {
    let mut left = new.iter();
    let mut next = left.next();
    for old in old {
        match next {
            // The same record, not only an equal one: nothing was changed since.
            Some(new) if Arc::ptr_eq(old, new) => next = left.next(),
            Some(new) if old.name == new.name => {
                if old != new {
                    changes.push(Change::Service(Arc::clone(new)));
                }
                next = left.next();
            }
            _ => changes.push(Change::Gone(old.name.clone())),
        }
    }
    let added = next.into_iter().chain(left);
    for new in added {
        // Taken out and put in at another place: rare enough to write everything.
        if old.iter().any(|old| old.name == new.name) {
            return None;
        }
        changes.push(Change::Service(Arc::clone(new)));
    }
    Some(())
}

fn changed_update(
    old: Option<&UpdateRecord>,
    new: Option<&UpdateRecord>,
    changes: &mut Vec<Change>,
) {
    if let (Some(old), Some(new)) = (old, new)
        && is_same_but_for_marks(old, new)
        && let Some(added) = new.timeline.marks.since(&old.timeline.marks)
    {
        changes.extend(added.iter().cloned().map(Change::Mark));
    } else if old.is_some() || new.is_some() {
        changes.push(Change::Update(new.cloned()));
    }
}

fn is_same_but_for_marks(old: &UpdateRecord, new: &UpdateRecord) -> bool {
    // Named one by one, so that a field added later is not forgotten here.
    let UpdateRecord {
        id,
        from_release,
        to_release,
        cancelled,
        liveupdate_number,
        kexec_count,
        systemd_kexec_count,
        warnings,
        previous_log,
        timeline,
        programs,
    } = old;
    *id == new.id
        && *from_release == new.from_release
        && *to_release == new.to_release
        && *cancelled == new.cancelled
        && *liveupdate_number == new.liveupdate_number
        && *kexec_count == new.kexec_count
        && *systemd_kexec_count == new.systemd_kexec_count
        && *warnings == new.warnings
        && *previous_log == new.previous_log
        && timeline.ticks_hz == new.timeline.ticks_hz
        && *programs == new.programs
}
