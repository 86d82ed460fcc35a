//! FREEZE and the jump: everything here is blackout.

use std::mem;
use std::os::fd::AsFd as _;
use std::time::Duration;

use luod_api::manager::Progress;
use luod_api::{Code, Refusal};
use update::{Barrier, Event, ItemState, MarkKind, Phase};

use crate::engine::{Engine, JOURNAL_SESSION, internal, item_key, session_key};
use crate::last_words::LastWords;
use crate::prepare::{Watcher, check_outcome, progress, subscribers};
use crate::preservable;
use crate::recover::JOURNAL_TOKEN;
use crate::sealed;
use crate::state::{LateItem, Step};

/// In front of the name of a session that is made to be closed.
const PASSING_SESSION: &str = "luod-passing-";

impl Engine {
    /// PREPARED → FROZEN → the next kernel, or everything is as before PREPARE. Returns where a
    /// service manager does the jump, and has begun.
    pub(crate) fn execute(
        &self,
        deadline: Duration,
        watcher: Watcher<'_>,
    ) -> Result<Progress, Refusal> {
        let answer = self.freeze(deadline, watcher).and_then(|()| {
            let words = LastWords::new(&self.state().journal);
            self.host.say(&words);
            self.host.reboot().map_err(Failure::Begun)
        });
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
            late: Vec::new(),
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
        self.preserve_late()?;
        self.check_seals()?;
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
            .preserve(session.as_fd(), journal.as_fd(), JOURNAL_TOKEN)?;
        self.drop_empty_block();
        Ok(())
    }

    /// Refuses when a file has seals that it had not when it was preserved: the kernel writes them down
    /// then (`memfd_luo_preserve`, `mm/memfd_luo.c`, v7.2 and v7.3), and the file would come back without
    /// them.
    fn check_seals(&self) -> Result<(), Refusal> {
        let state = self.state();
        let services = state.journal.services.iter();
        let items =
            services.flat_map(|service| service.items.iter().map(move |item| (service, item)));
        for (service, item) in items.filter(|(_, item)| item.state == ItemState::Held) {
            let fd = self.kept(&item_key(&service.name, &item.name))?;
            let found = preservable::check(fd.as_fd())?;
            if found.seals != item.seals {
                let text = format!(
                    "{:?} of {:?} was sealed after PREPARE (seals {:#x}, preserved {:#x}): it would come back without the new seals",
                    item.name, service.name, found.seals, item.seals
                );
                return Err(Refusal::new(Code::NotPreservable, text).with_hint(
                    "services must add seals before an update is prepared; try again now",
                ));
            }
        }
        Ok(())
    }

    /// Makes a session and closes it: that frees a block without sessions at the end of the kernel's
    /// chain, if there is one.
    ///
    /// With a multiple of 51 sessions, one that cannot be made because its name is taken, by whatever
    /// program, leaves such a block, and the next kernel panics when it reads it ("Block contains invalid
    /// entry count: 0", `kernel/liveupdate/luo_session.c` and `kho_block.c`, v7.2 and v7.3). Nobody can see
    /// that it is there.
    fn drop_empty_block(&self) {
        // A name that nobody has: a second one would bring about what this prevents.
        let id = self.state().update_id();
        let unique = id.get(..8).unwrap_or(&id);
        match self
            .host
            .create_session(&format!("{PASSING_SESSION}{unique}"))
        {
            Ok(session) => drop(session),
            Err(refusal) => tracing::warn!(%refusal, "no session could be made and closed"),
        }
    }

    /// Preserves what came during FREEZE, now that its owners stand still.
    fn preserve_late(&self) -> Result<(), Refusal> {
        let mut state = self.state();
        let late = state.step.as_mut().map(|step| mem::take(&mut step.late));
        drop(state);
        for LateItem {
            service,
            item,
            token,
        } in late.unwrap_or_default()
        {
            let fd = self.kept(&item_key(&service, &item))?;
            preservable::check(fd.as_fd()).map_err(|refusal| Refusal {
                message: format!("{item:?} of {service:?}: {}", refusal.message),
                ..refusal
            })?;
            let session = match self.keeper.get(&session_key(&service)) {
                Some(_) => self.kept(&session_key(&service))?,
                None => self.create_session(&mut self.state(), &service)?,
            };
            self.preserve_item(session.as_fd(), &service, &item, token, fd.as_fd())?;
        }
        Ok(())
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
