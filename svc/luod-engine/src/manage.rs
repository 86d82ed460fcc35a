//! What operators ask.

use std::sync::Arc;

use live_varlink::Waker;
use luod_api::manager::{
    self, DeviceStatus, EventBatch, Finish, HistoryAnswer, ServiceEntry, Sessions, Status,
};
use luod_api::{Code, Refusal};
use update::{ItemState, Report};

use crate::engine::Engine;
use crate::events::Reader;

/// Boots of a chain that a report names at most.
const CHAIN: usize = 64;

impl Engine {
    /// How the host stands.
    pub(crate) fn status(&self) -> Status {
        let facts = self.host.facts();
        let mut device = self.host.device_status();
        let is_image_loaded = self.host.is_image_loaded();
        let holder_pid = self.keeper.holder_pid();
        let state = self.state();
        if let Some(reason) = &state.journal.handover_error {
            device = DeviceStatus {
                is_usable: false,
                reason: format!("what the previous kernel handed over cannot be read: {reason}"),
            };
        }
        let kept = || {
            let items = state
                .journal
                .services
                .iter()
                .flat_map(|service| &service.items);
            items.filter(|item| matches!(item.state, ItemState::Held | ItemState::Incoming))
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            release: facts.release,
            phase: state.journal.phase,
            update_id: state
                .journal
                .update
                .as_ref()
                .map(|update| update.id.clone()),
            device,
            holder_pid,
            is_image_loaded,
            services: state.journal.services.len(),
            connected: state.live.len(),
            items: kept().count(),
            bytes: kept().fold(0, |sum: u64, item| sum.saturating_add(item.size_bytes)),
            unfinished: state.journal.unfinished(),
            liveupdate_number: facts.liveupdate_number,
            kexec_count: facts.kexec_count,
        }
    }

    /// Everything kept.
    pub(crate) fn sessions(&self) -> Sessions {
        let state = self.state();
        let entry = |record: &Arc<update::ServiceRecord>| ServiceEntry {
            record: update::ServiceRecord::clone(record),
            pid: state.live.get(&record.name).map(|live| live.pid),
        };
        Sessions {
            services: state.journal.services.iter().map(entry).collect(),
        }
    }

    /// The report of the update under way or the last one.
    pub(crate) fn report(&self) -> Option<Report> {
        let report = Report::new(&self.state().journal)?;
        let boots = self.history.boots(CHAIN);
        Some(Report {
            chain: update::chain(&boots).to_vec(),
            ..report
        })
    }

    /// Updates that ended.
    pub(crate) fn history(&self, request: &manager::History) -> HistoryAnswer {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        HistoryAnswer {
            updates: self.history.read(limit),
            boots: self.history.boots(limit),
        }
    }

    /// The last events.
    pub(crate) fn events(&self) -> EventBatch {
        self.state().events.recent()
    }

    /// The last events and all that come.
    pub(crate) fn follow(&self, waker: Waker) -> Arc<Reader> {
        self.state().events.follow(waker)
    }

    /// Finishes for a service that does not, or for all of them.
    pub(crate) fn finish_for(&self, request: &Finish) -> Result<(), Refusal> {
        let mut state = self.state();
        if request.discard && request.service.is_none() {
            if let Some(reason) = state.journal.handover_error.take() {
                tracing::warn!(reason, "the unreadable handover is given up");
                return self.save(&state);
            }
        }
        let services = match &request.service {
            Some(service) => vec![service.clone()],
            None => state.journal.unfinished(),
        };
        if services.is_empty() && request.service.is_none() {
            return Err(Refusal::new(
                Code::WrongPhase,
                "no session waits to be finished",
            ));
        }
        services.iter().try_for_each(|service| {
            let answer = self.finish_session(&mut state, service, |_| request.discard);
            answer.map_err(|refusal| match refusal.code {
                Code::NotRetrieved => refusal.with_hint(
                    "start the service and let it retrieve that, or give it up with `luoctl finish --discard`",
                ),
                _ => refusal,
            })
        })
    }
}
