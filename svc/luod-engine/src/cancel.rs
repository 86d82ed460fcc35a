//! Undoing an update that has not jumped.

use luod_api::manager::EventKind;
use luod_api::service::Notice;
use luod_api::{Code, Refusal};
use update::{Event, IllegalEvent, MarkKind, Phase, SessionState};

use crate::engine::{Engine, JOURNAL_SESSION, session_key};
use crate::state::{About, State};

impl Engine {
    /// Cancels a prepared update on the operator's word.
    pub(crate) fn cancel(&self, reason: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if let Some(step) = &mut state.step {
            // The thread that waits for the barrier rolls back and answers its operator.
            step.barrier.cancel(reason);
            self.changed.notify_all();
            return Ok(());
        }
        state
            .journal
            .phase
            .after(Event::Cancel)
            .map_err(|error: IllegalEvent| Refusal::new(Code::WrongPhase, error))?;
        self.roll_back(&mut state, reason);
        self.save(&state)
    }

    /// Back to NORMAL: every session is closed, so the kernel unpreserves everything; the next
    /// kernel is unloaded; services are told.
    pub(crate) fn roll_back(&self, state: &mut State, reason: &str) {
        let now = self.host.now();
        for service in state.journal.services_mut() {
            if service.is_incoming() {
                continue;
            }
            // Also one that the journal does not know of: a luod that was killed during PREPARE
            // had made it and not yet saved that. Left open, its name would be taken for good.
            let key = session_key(&service.name);
            if self.keeper.get(&key).is_some() {
                self.keeper.remove(&key);
            }
            if matches!(&service.session, Some(own) if own.state == SessionState::Outgoing) {
                service.session = None;
            }
        }
        self.keeper.remove(JOURNAL_SESSION);
        if let Err(refusal) = self.host.unload() {
            tracing::warn!(%refusal, "the next kernel stays loaded");
        }
        state.journal.phase = Phase::Normal;
        state.step = None;
        state.participants.clear();
        if let Some(update) = &mut state.journal.update {
            update.cancelled = Some(reason.to_owned());
        }
        state.mark(MarkKind::Cancelled, None, now);
        self.notify(state, Event::Cancel, 0);
        self.cancel_programs(state);
        self.write_down(state);
        tracing::warn!(reason, update = state.update_id(), "update cancelled");
    }

    /// Tells every subscriber of a step.
    pub(crate) fn notify(&self, state: &mut State, event: Event, deadline_ms: u64) {
        let update_id = state.update_id();
        let mut told = Vec::new();
        for (service, live) in &state.live {
            let Some(subscription) = &live.subscription else {
                continue;
            };
            let update_id = update_id.clone();
            subscription.listener.post(Notice {
                event,
                update_id,
                deadline_ms,
            });
            told.push(service.clone());
        }
        let (now, step) = (self.host.now(), event.to_string());
        for service in told {
            let about = About::service(&service, Some(&step));
            state.tell(EventKind::Asked, about, now);
        }
    }
}
