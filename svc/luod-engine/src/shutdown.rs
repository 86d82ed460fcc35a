//! Shutdowns that the service manager carries out: luod's own, and those that somebody else started.

use std::time::Duration;

use luod_api::Refusal;
use update::Phase;

use crate::engine::Engine;
use crate::execute::Failure;

/// What a shutdown leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another kernel, by kexec.
    NextKernel,
    /// Anything else: memory is gone.
    Halt,
}

impl Engine {
    /// A shutdown begins that luod has not started. What is prepared is frozen and left to come
    /// over if another kernel is started, else cancelled.
    ///
    /// Nothing can be refused any more: when a service does not freeze, its memory comes over all
    /// the same, as systemd carries over what is in a store.
    pub fn shutdown_begins(&self, ending: Ending, deadline: Duration) {
        if self.state().journal.phase != Phase::Prepared {
            return;
        }
        if ending == Ending::Halt {
            if let Err(refusal) = self.cancel("the host is shut down, not updated") {
                tracing::error!(%refusal, "the update was not cancelled");
            }
            return;
        }
        tracing::warn!("somebody else starts the next kernel: services are frozen now");
        match self.freeze(deadline, &mut |_progress| {}) {
            Ok(()) => self.keeper.leave_sessions(),
            Err(Failure::NotBegun(refusal)) => {
                tracing::error!(%refusal, "the shutdown goes on while another step is under way");
            }
            Err(Failure::Begun(refusal)) => {
                tracing::error!(%refusal, "the shutdown goes on with services not frozen");
                if let Err(refusal) = self.give_up(&refusal) {
                    tracing::error!(%refusal, "the journal was not saved");
                }
            }
        }
    }

    /// The shutdown that was to start the next kernel came to nothing: everything goes on here.
    pub fn shutdown_abandoned(&self) {
        if self.state().journal.phase != Phase::Frozen {
            return;
        }
        if let Err(error) = self.keeper.take_back() {
            tracing::error!(%error, "not everything is stored again; luod must not die now");
        }
        let mut state = self.state();
        self.roll_back(&mut state, "systemd abandoned the shutdown");
        if let Err(refusal) = self.save(&state) {
            tracing::error!(%refusal, "the journal was not saved");
        }
    }

    /// Rolls an update back that did not jump.
    pub(crate) fn give_up(&self, refusal: &Refusal) -> Result<(), Refusal> {
        let mut state = self.state();
        self.roll_back(&mut state, &refusal.to_string());
        self.save(&state)
    }

    /// Waits until the engine could answer: for ever when it hangs.
    pub fn wait_for_answer(&self) {
        drop(self.state());
    }
}
