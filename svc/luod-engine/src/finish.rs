//! Finishing sessions that came over.

use std::os::fd::AsFd as _;

use luod_api::manager::PastUpdate;
use luod_api::{Code, Refusal};
use update::{Event, ItemState, MarkKind, Phase, Report, SessionState, Timeline};

use crate::engine::{Engine, session_key};
use crate::keep::not_registered;
use crate::state::State;

impl Engine {
    /// Finishes the session of `service`. Items that came over and were not kept again refuse it,
    /// unless `may_discard` gives them up.
    pub(crate) fn finish_session(
        &self,
        state: &mut State,
        service: &str,
        may_discard: impl Fn(&String) -> bool,
    ) -> Result<(), Refusal> {
        let now = self.host.now();
        let record = state.journal.service(service).ok_or_else(not_registered)?;
        match record.session.as_ref().map(|session| &session.state) {
            Some(SessionState::Incoming) => {}
            Some(SessionState::Outgoing) => {
                let text = format!("the session of {service:?} is meant for the next kernel");
                return Err(Refusal::new(Code::WrongPhase, text));
            }
            // Nothing came over, or it is finished: finishing again is no error.
            Some(SessionState::Missing { .. }) | None => return Ok(()),
        }
        let left: Vec<_> = record
            .unretrieved()
            .filter(|item| !may_discard(&item.name))
            .map(|item| item.name.clone())
            .collect();
        if !left.is_empty() {
            let text = format!(
                "{service:?} has not retrieved {}: finishing would lose it",
                left.join(", ")
            );
            return Err(Refusal::new(Code::NotRetrieved, text)
                .with_hint("retrieve it and give it into keeping again, or discard it by name"));
        }
        let session = self.kept(&session_key(service))?;
        self.host.finish(session.as_fd())?;
        if let Some(record) = state.journal.service_mut(service) {
            record.session = None;
            for item in &mut record.items {
                if item.state == ItemState::Incoming {
                    item.state = ItemState::Discarded;
                }
            }
        }
        state.mark(MarkKind::ServiceFinished, Some(service), now);
        self.end_update(state);
        self.save(state)?;
        self.keeper.remove(&session_key(service));
        tracing::info!(service, "session finished");
        Ok(())
    }

    /// Adds the update that has just ended to the history.
    pub(crate) fn write_down(&self, state: &State) {
        let Some(report) = Report::new(&state.journal) else {
            return;
        };
        self.history.add(&PastUpdate {
            ended_ns: self.host.now().realtime_ns,
            report: Report {
                timeline: Timeline::default(),
                ..report
            },
        });
    }

    /// Back to NORMAL once no session waits.
    pub(crate) fn end_update(&self, state: &mut State) {
        if state.journal.phase != Phase::Updated || !state.journal.unfinished().is_empty() {
            return;
        }
        match state.journal.phase.after(Event::Finish) {
            Ok(phase) => {
                let now = self.host.now();
                state.journal.phase = phase;
                state.mark(MarkKind::Finished, None, now);
                tracing::info!(update = state.update_id(), "update finished");
                self.write_down(state);
                self.finish_programs(state);
            }
            Err(error) => tracing::error!(%error, "the phase did not follow"),
        }
    }
}
