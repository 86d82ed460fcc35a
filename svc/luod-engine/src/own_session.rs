//! Sessions in which a service preserves by itself: luod makes them, holds them and carries them over, and does not know
//! what is in them.

use std::os::fd::OwnedFd;

use luod_api::{Code, Refusal};
use update::SessionState;

use crate::engine::{Engine, session_key};
use crate::keep::not_registered;
use crate::state::{Live, OwnSession};

impl Engine {
    /// Creates the sessions of those that preserve by themselves: they get them when they are asked.
    pub(crate) fn create_own_sessions(&self) -> Result<(), Refusal> {
        let wanted: Vec<String> = {
            let state = self.state();
            let wants = |live: &Live| {
                let subscription = live.subscription.as_ref();
                subscription.is_some_and(|own| own.own_session == OwnSession::Wanted)
            };
            let live = state.live.iter().filter(|(_, live)| wants(live));
            live.map(|(name, _)| name.clone()).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        self.settle_names()?;
        let mut state = self.state();
        for service in wanted {
            self.create_session(&mut state, &service)?;
        }
        // Who ends before PREPARE does must not leave the session behind.
        self.save(&state)
    }

    /// A duplicate of the session that a service preserves in by itself.
    pub(crate) fn outgoing_session(&self, service: &str) -> Result<OwnedFd, Refusal> {
        let state = self.state();
        let record = state.journal.service(service).ok_or_else(not_registered)?;
        let session = record.session.as_ref().map(|session| &session.state);
        if session != Some(&SessionState::Outgoing) {
            let text = format!("there is no session of {service:?} for the next kernel");
            return Err(Refusal::new(Code::WrongPhase, text));
        }
        self.kept(&session_key(service))
    }

    /// Whether a session came over for a service and is not finished.
    pub(crate) fn has_incoming_session(&self, service: &str) -> bool {
        let state = self.state();
        let record = state.journal.service(service);
        record.is_some_and(|record| record.is_incoming())
    }
}
