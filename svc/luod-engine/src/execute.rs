//! FREEZE and the jump: everything here is blackout.

use std::os::fd::AsFd as _;
use std::time::Duration;

use luod_api::manager::Progress;
use luod_api::{Code, Refusal};
use update::{Barrier, Event, MarkKind, Phase};

use crate::engine::{Engine, JOURNAL_SESSION, internal};
use crate::prepare::{Watcher, check_outcome, progress, subscribers};
use crate::recover::JOURNAL_TOKEN;
use crate::sealed;
use crate::state::Step;

impl Engine {
    /// PREPARED → FROZEN → the next kernel, or everything is as before PREPARE. Returns where a
    /// service manager does the jump, and has begun.
    pub(crate) fn execute(
        &self,
        deadline: Duration,
        watcher: Watcher<'_>,
    ) -> Result<Progress, Refusal> {
        let answer = self
            .freeze(deadline, watcher)
            .and_then(|()| self.host.reboot().map_err(Failure::Begun));
        match answer {
            Ok(()) => {
                self.keeper.leave_sessions();
                let text = "systemd ends everything and starts the next kernel";
                Ok(progress(Phase::Frozen, text.to_owned()))
            }
            Err(Failure::NotBegun(refusal)) => Err(refusal),
            Err(Failure::Begun(refusal)) => {
                self.give_up(&refusal)?;
                Err(refusal)
            }
        }
    }

    /// FREEZE: afterwards everything is in the kernel that the next one needs.
    pub(crate) fn freeze(&self, deadline: Duration, watcher: Watcher<'_>) -> Result<(), Failure> {
        self.begin_freeze().map_err(Failure::NotBegun)?;
        self.freeze_services(deadline, watcher)
            .map_err(Failure::Begun)
    }

    fn begin_freeze(&self) -> Result<(), Refusal> {
        let mut state = self.state();
        if let Some(step) = &state.step {
            let text = format!("the host is going through {} already", step.event);
            return Err(Refusal::new(Code::WrongPhase, text));
        }
        state
            .journal
            .phase
            .after(Event::Freeze)
            .map_err(|error| Refusal::new(Code::WrongPhase, error))?;
        let present = subscribers(&state);
        let mut barrier = Barrier::new(present.union(&state.participants).cloned());
        for service in state.participants.difference(&present) {
            barrier.ended(service);
        }
        state.step = Some(Step {
            event: Event::Freeze,
            barrier,
        });
        Ok(())
    }

    fn freeze_services(&self, deadline: Duration, watcher: Watcher<'_>) -> Result<(), Refusal> {
        // Nobody unmounts anything: what is written is written now, while services still work.
        rustix::fs::sync();
        {
            let state = self.state();
            if let Some(outcome) = state.step.as_ref().and_then(|step| step.barrier.outcome()) {
                check_outcome(&outcome, Event::Freeze)?;
            }
        }
        watcher(progress(Phase::Prepared, "freezing services".to_owned()));
        self.state()
            .mark(MarkKind::FreezeStarted, None, self.host.now());
        self.wait_for_services(Event::Freeze, deadline)?;
        self.freeze_programs(deadline)?;
        watcher(progress(
            Phase::Frozen,
            "starting the next kernel".to_owned(),
        ));
        let session = self.kept(JOURNAL_SESSION)?;
        let mut state = self.state();
        // The operator may have changed their mind, or a service ended, while programs were asked.
        if let Some(outcome) = state.step.as_ref().and_then(|step| step.barrier.outcome()) {
            check_outcome(&outcome, Event::Freeze)?;
        }
        let phase = state.journal.phase.after(Event::Freeze);
        state.journal.phase = phase.map_err(|error| Refusal::new(Code::WrongPhase, error))?;
        if let Some(update) = &mut state.journal.update {
            update.timeline.ticks_hz = self.host.ticks_hz();
        }
        state.mark(MarkKind::RebootCalled, None, self.host.now());
        let journal = update::journal::encode(&state.journal);
        drop(state);
        let journal = journal.map_err(|error| internal(&error))?;
        let journal = sealed::write(&journal).map_err(|error| internal(&error))?;
        self.host
            .preserve(session.as_fd(), journal.as_fd(), JOURNAL_TOKEN)
    }
}

/// How far FREEZE was when it failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing has changed.
    NotBegun(Refusal),
    /// Services may be frozen: they have to be told.
    Begun(Refusal),
}
