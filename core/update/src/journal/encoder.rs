//! Encodes a journal again and again: what did not change is not written as JSON a second time.
//!
//! A host with a thousand services changes one of them at a time, and its journal is saved at each
//! change.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Journal, JournalError, ProgramRecord, UpdateRecord, with_header};
use crate::manifest::ServiceRecord;
use crate::phase::Phase;
use crate::timeline::Mark;

/// Encodes journals; the bytes are those of [`encode`](super::encode).
#[derive(Debug, Default)]
pub struct Encoder {
    /// Services in order, as they were and as they were written.
    services: Vec<(ServiceRecord, Box<RawValue>)>,
    /// Marks of the timeline, in order.
    marks: Vec<(Mark, Box<RawValue>)>,
}

/// [`Journal`], in parts.
#[derive(Serialize)]
struct Parts<'a> {
    phase: Phase,
    services: Vec<&'a RawValue>,
    update: Option<UpdateParts<'a>>,
    handover_error: &'a Option<String>,
}

/// [`UpdateRecord`], in parts.
#[derive(Serialize)]
struct UpdateParts<'a> {
    id: &'a str,
    from_release: &'a str,
    to_release: &'a Option<String>,
    cancelled: &'a Option<String>,
    liveupdate_number: Option<u64>,
    kexec_count: Option<u32>,
    systemd_kexec_count: Option<u64>,
    warnings: &'a [String],
    timeline: TimelineParts<'a>,
    programs: &'a [ProgramRecord],
}

#[derive(Serialize)]
struct TimelineParts<'a> {
    ticks_hz: Option<u64>,
    marks: Vec<&'a RawValue>,
}

impl Encoder {
    /// The bytes of `journal`.
    ///
    /// # Errors
    /// [`JournalError::Payload`] when it cannot be written as JSON, which no journal of ours does.
    pub fn encode(&mut self, journal: &Journal) -> Result<Vec<u8>, JournalError> {
        self.write_services(&journal.services)?;
        let marks = journal.update.as_ref().map(|it| &it.timeline.marks[..]);
        self.write_marks(marks.unwrap_or_default())?;
        let parts = Parts {
            phase: journal.phase,
            services: self.services.iter().map(|(_, json)| &**json).collect(),
            update: journal.update.as_ref().map(|update| self.update(update)),
            handover_error: &journal.handover_error,
        };
        let payload = serde_json::to_vec(&parts).map_err(JournalError::Payload)?;
        Ok(with_header(&payload))
    }

    fn update<'a>(&'a self, update: &'a UpdateRecord) -> UpdateParts<'a> {
        UpdateParts {
            id: &update.id,
            from_release: &update.from_release,
            to_release: &update.to_release,
            cancelled: &update.cancelled,
            liveupdate_number: update.liveupdate_number,
            kexec_count: update.kexec_count,
            systemd_kexec_count: update.systemd_kexec_count,
            warnings: &update.warnings,
            timeline: TimelineParts {
                ticks_hz: update.timeline.ticks_hz,
                marks: self.marks.iter().map(|(_, json)| &**json).collect(),
            },
            programs: &update.programs,
        }
    }

    /// Services are added at the end, changed where they are, and taken out anywhere.
    fn write_services(&mut self, services: &[ServiceRecord]) -> Result<(), JournalError> {
        if self.services.len() > services.len() {
            let mut left = services.iter().peekable();
            self.services
                .retain(|(known, _)| left.next_if(|it| it.name == known.name).is_some());
        }
        self.services.truncate(services.len());
        for (index, service) in services.iter().enumerate() {
            let known = self.services.get_mut(index);
            if known.as_ref().is_some_and(|(known, _)| known == service) {
                continue;
            }
            let json = to_raw_value(service).map_err(JournalError::Payload)?;
            let written = (service.clone(), json);
            match known {
                Some(known) => *known = written,
                None => self.services.push(written),
            }
        }
        Ok(())
    }

    fn write_marks(&mut self, marks: &[Mark]) -> Result<(), JournalError> {
        let known = self.marks.iter().zip(marks);
        let same = known
            .take_while(|((known, _), mark)| known == *mark)
            .count();
        self.marks.truncate(same);
        for mark in marks.iter().skip(same) {
            let json = to_raw_value(mark).map_err(JournalError::Payload)?;
            self.marks.push((mark.clone(), json));
        }
        Ok(())
    }
}
