//! The start: after a crash of `luod`, after a jump, or after a cold boot.

use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use luod_api::manager::EventKind;
use luod_api::{Code, Refusal};
use update::{
    Event, ItemState, Journal, MarkKind, Moment, Phase, ServiceName, ServiceRecord, SessionState,
};

use crate::engine::{Engine, JOURNAL_SESSION, StartError, item_key, session_key};
use crate::journal_file::JOURNAL;
use crate::sealed::{self, SealedError};
use crate::state::{About, State};

/// What a boot found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Nothing,
    /// Perhaps an unreadable one.
    Handover,
}

/// Token of the journal in its session.
pub(crate) const JOURNAL_TOKEN: u64 = 0;
/// Time between two tries for a busy device, beside the host's own patience.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Time between two tries to have what came over held elsewhere.
const HOLDER_PAUSE: Duration = Duration::from_secs(1);

/// What is wrong with systemd's count of kexecs after a jump: it begins anew when systemd could not
/// hand its own state over.
fn stores_lost(before: Option<u64>, now: Option<u64>) -> Option<String> {
    let before = before?;
    let expected = before.saturating_add(1);
    let now = match now {
        Some(now) if now == expected => return None,
        Some(now) => now.to_string(),
        None => "unknown".to_owned(),
    };
    Some(format!(
        "systemd's KExecCount is {now} instead of {expected}: it lost the descriptor stores of all its units in the jump"
    ))
}

/// Tells of everything that this start found to be gone, and of what was so before.
fn tell_losses(state: &mut State, at: Moment) {
    let mut lost = Vec::new();
    for service in &state.journal.services {
        for item in &service.items {
            if let ItemState::Lost { reason } = &item.state {
                lost.push((service.name.clone(), item.name.clone(), reason.clone()));
            }
        }
    }
    for (service, item, reason) in lost {
        let about = About {
            service: Some(&service),
            item: Some(&item),
            detail: Some(&reason),
        };
        state.tell(EventKind::Lost, about, at);
    }
}

impl Engine {
    /// Finds out what there is and makes it the state.
    pub(crate) fn recover(&self) -> Result<(), StartError> {
        let started = self.host.now();
        let mut state = self.state();
        if let Some(journal) = self.keeper.get(JOURNAL) {
            let journal = journal.as_fd().try_clone_to_owned();
            state.journal = sealed::read(journal.map_err(SealedError::from)?)?;
            self.resume(&mut state);
        } else if self.receive(&mut state, started) == Received::Nothing {
            // On this boot there was a luod before: what its journal names is gone.
            let left = self.journal_file().shadow();
            if let Some(journal) = left {
                state.journal = journal;
                self.mourn(&mut state);
            }
        }
        tell_losses(&mut state, started);
        self.save(&state).map_err(StartError::Save)
    }

    /// After a crash: what was under way is cancelled, everything kept is still kept.
    fn resume(&self, state: &mut State) {
        tracing::info!(phase = %state.journal.phase, "resumed after luod ended");
        self.find_held(state);
        let has_outgoing = state.journal.services.iter().any(
            |service| matches!(&service.session, Some(own) if own.state == SessionState::Outgoing),
        );
        let is_under_way = matches!(state.journal.phase, Phase::Prepared | Phase::Frozen);
        // Saved before services are asked and before any session is made.
        let is_begun = state
            .journal
            .update
            .as_ref()
            .is_some_and(|update| update.to_release.is_none() && update.cancelled.is_none());
        if is_under_way || is_begun || has_outgoing {
            self.roll_back(state, "luod ended during the update");
        } else if self.keeper.get(JOURNAL_SESSION).is_some() {
            // Of the last jump: its journal is the one just read, so nothing needs it any more.
            self.keeper.remove(JOURNAL_SESSION);
        }
    }

    /// What is held by the journal and not in fact is lost: systemd's store comes over a kexec, also
    /// one that luod knows nothing of, and not always with all that is in it.
    fn find_held(&self, state: &mut State) {
        for service in state.journal.services_mut() {
            let items = service.items.iter_mut();
            for item in items.filter(|item| item.state == ItemState::Held) {
                if self
                    .keeper
                    .get(&item_key(&service.name, &item.name))
                    .is_none()
                {
                    let reason = "systemd did not keep it".to_owned();
                    tracing::error!(service = service.name, item = item.name, reason, "lost");
                    item.state = ItemState::Lost { reason };
                }
            }
        }
    }

    /// Neither a holder nor a handover has what the last journal names: nobody may take what is
    /// made anew for what was kept.
    fn mourn(&self, state: &mut State) {
        let reason = "nobody held it any more: luod and its holder both ended, or the host was started anew without a live update";
        for service in state.journal.services_mut() {
            service.session = None;
            for item in &mut service.items {
                if matches!(item.state, ItemState::Held | ItemState::Incoming) {
                    tracing::error!(service = service.name, item = item.name, reason, "lost");
                    item.state = ItemState::Lost {
                        reason: reason.to_owned(),
                    };
                }
            }
        }
        state.journal.phase = Phase::Normal;
    }

    /// After a boot: takes what the previous kernel handed over, if it did.
    fn receive(&self, state: &mut State, started: Moment) -> Received {
        let device = self.host.device_status();
        if !device.is_usable {
            tracing::warn!(reason = device.reason, "no live update on this kernel");
            return Received::Nothing;
        }
        match self.receive_journal() {
            Ok(None) => {
                tracing::info!("the previous kernel handed nothing over to luod");
                return Received::Nothing;
            }
            Ok(Some((session, journal))) => {
                state.journal = journal;
                state.came_by_update = true;
                self.receive_sessions(state, started);
                self.drop_journal_session(state, &session);
            }
            Err(refusal) => {
                tracing::error!(%refusal, "what the previous kernel handed over cannot be read");
                state.journal.handover_error = Some(refusal.to_string());
            }
        }
        Received::Handover
    }

    fn receive_journal(&self) -> Result<Option<(OwnedFd, Journal)>, Refusal> {
        let name = ServiceName::JOURNAL_SESSION;
        // The kernel gives it once: a luod that was killed here left it with the holder.
        let session = match self.keeper.get(JOURNAL_SESSION) {
            Some(_) => Some(self.kept(JOURNAL_SESSION)?),
            None => self.retrieve_session(name)?,
        };
        let Some(session) = session else {
            return Ok(None);
        };
        tracing::debug!("the journal's session is retrieved");
        // Before anything else: from here on this session may be lost only with this process and
        // the holder together.
        let duplicate = session
            .try_clone()
            .map_err(|error| crate::engine::internal(&error))?;
        self.keep(JOURNAL_SESSION, duplicate)?;
        let memfd = self.host.retrieve(session.as_fd(), JOURNAL_TOKEN)?;
        let journal = sealed::read(memfd).map_err(|error| {
            Refusal::new(Code::HandoverUnreadable, crate::engine::internal(&error))
        })?;
        Ok(Some((session, journal)))
    }

    fn receive_sessions(&self, state: &mut State, started: Moment) {
        let facts = self.host.facts();
        if let Some(update) = &mut state.journal.update {
            update.to_release = Some(facts.release);
            update.liveupdate_number = facts.liveupdate_number;
            update.kexec_count = facts.kexec_count;
            let warning = stores_lost(update.systemd_kexec_count, facts.systemd_kexec_count);
            if let Some(warning) = warning {
                tracing::error!("{warning}");
                update.warnings.push(warning);
            }
        }
        if let Some(at) = self.host.kernel_start() {
            state.mark(MarkKind::KernelStarted, None, at);
        }
        state.mark(MarkKind::AgentStarted, None, started);
        for service in state.journal.services_mut() {
            self.receive_service(service);
        }
        // The end of this process would be theirs, while nobody else is known to have them.
        while let Err(error) = self.keeper.settle() {
            tracing::error!(%error, "what came over is held nowhere else; luod must not end now");
            thread::sleep(HOLDER_PAUSE);
        }
        tracing::debug!("every session is retrieved");
        // Written by a luod that froze, whatever it recorded last: the jump has happened.
        state.journal.phase = Phase::Frozen.after(Event::Jump).unwrap_or(Phase::Updated);
        state.mark(MarkKind::SessionsRetrieved, None, self.host.now());
        self.end_update(state);
    }

    /// What was held when the journal was written is now incoming, or lost.
    fn receive_service(&self, service: &mut ServiceRecord) {
        let answer = match &service.session {
            Some(session) => self.receive_session(&service.name, &session.name),
            None => Err("it was not preserved".to_owned()),
        };
        let item_state = match &answer {
            Ok(()) => ItemState::Incoming,
            Err(reason) => ItemState::Lost {
                reason: reason.clone(),
            },
        };
        // What was lost or discarded before stays so.
        let held = service
            .items
            .iter_mut()
            .filter(|item| item.state == ItemState::Held);
        held.for_each(|item| item.state = item_state.clone());
        if let Some(session) = &mut service.session {
            session.state = match answer {
                Ok(()) => SessionState::Incoming,
                Err(reason) => {
                    tracing::error!(
                        service = service.name,
                        reason,
                        "a session did not come over"
                    );
                    SessionState::Missing { reason }
                }
            };
        }
    }

    fn receive_session(&self, service: &str, session: &str) -> Result<(), String> {
        if self.keeper.get(&session_key(service)).is_some() {
            // Retrieved by a luod that was killed before it had saved its journal.
            return Ok(());
        }
        match self.retrieve_session(session) {
            Ok(Some(fd)) => self
                .keep_soon(&session_key(service), fd)
                .map_err(|refusal| refusal.to_string()),
            Ok(None) => Err(format!("the kernel brought no session {session:?}")),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    /// Retrieves a session, waiting as long as another program keeps the device open: what came
    /// over is still in the kernel, and a service that was told otherwise would begin anew.
    fn retrieve_session(&self, name: &str) -> Result<Option<OwnedFd>, Refusal> {
        loop {
            match self.host.retrieve_session(name) {
                Err(refusal) if refusal.code == Code::DeviceBusy => {
                    tracing::warn!(%refusal, "luod serves nobody before it has the device");
                    thread::sleep(BUSY_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    /// The journal is read: its session goes, once the journal is kept otherwise.
    fn drop_journal_session(&self, state: &State, session: &OwnedFd) {
        let done = self
            .save(state)
            .and_then(|()| self.host.finish(session.as_fd()));
        match done {
            Ok(()) => self.keeper.remove(JOURNAL_SESSION),
            Err(refusal) => tracing::error!(%refusal, "the journal's session was not finished"),
        }
    }
}
