//! Where programs of the drop-in folder are asked: after the services, in the order of their names.

use std::thread;
use std::time::Duration;

use luod_api::{Code, Refusal};
use update::{Event, Phase, ProgramRecord, ProgramState, UpdateRecord};

use crate::engine::Engine;
use crate::programs::{PATIENCE, ProgramError, Programs, Word};
use crate::state::State;

impl Engine {
    /// `prepare` of each. Each is written down before it is started: whatever happens from then on,
    /// it is told to cancel.
    pub(crate) fn prepare_programs(&self, deadline: Duration) -> Result<(), Refusal> {
        for name in self.programs.names() {
            let update = {
                let mut state = self.state();
                let Some(update) = &mut state.journal.update else {
                    return Err(no_update());
                };
                update.programs.push(ProgramRecord {
                    name: name.clone(),
                    ..ProgramRecord::default()
                });
                let update = update.clone();
                self.save(&state)?;
                update
            };
            let answer = self
                .programs
                .run(&name, Word::Prepare, "", &update, deadline);
            let payload = answer.map_err(|error| veto(&name, Event::Prepare, &error))?;
            self.change_program(&name, |program| program.payload = payload);
        }
        Ok(())
    }

    /// `freeze` of each that is prepared.
    pub(crate) fn freeze_programs(&self, deadline: Duration) -> Result<(), Refusal> {
        let update = self.state().journal.update.clone().unwrap_or_default();
        for program in &update.programs {
            let name = &program.name;
            let answer = self
                .programs
                .run(name, Word::Freeze, &program.payload, &update, deadline);
            let payload = answer.map_err(|error| veto(name, Event::Freeze, &error))?;
            if !payload.is_empty() {
                self.change_program(name, |program| program.payload = payload);
            }
        }
        Ok(())
    }

    /// Takes the programs of a cancelled update out of the journal and tells them, in the order in
    /// which they were prepared; nobody waits for it.
    pub(crate) fn cancel_programs(&self, state: &mut State) {
        let Some(update) = &mut state.journal.update else {
            return;
        };
        let told = update.clone();
        update.programs.clear();
        tell_later(&self.programs, told, Word::Cancel);
    }

    /// `boot` of each that the last kernel handed over, once for each boot. Takes as long as they
    /// take: call it from a thread of its own.
    pub fn boot_programs(&self) {
        let update = self.state().journal.update.clone().unwrap_or_default();
        if update.to_release.is_none() {
            return;
        }
        let waiting = update.programs.iter();
        let waiting = waiting.filter(|program| program.state == ProgramState::Prepared);
        for program in waiting {
            let name = &program.name;
            let payload = &program.payload;
            let answer = self
                .programs
                .run(name, Word::Boot, payload, &update, PATIENCE);
            let failed = answer.err().map(|error| error.to_string());
            if let Some(reason) = &failed {
                tracing::error!(program = name, reason, "failed after the update");
            }
            self.change_program(name, |program| {
                program.failed = failed;
                program.state = ProgramState::Booted;
            });
        }
        let mut state = self.state();
        self.finish_programs(&mut state);
        if let Err(refusal) = self.save(&state) {
            tracing::warn!(%refusal, "the journal was not saved");
        }
    }

    /// Tells those that have booted that the update is finished, if it is.
    pub(crate) fn finish_programs(&self, state: &mut State) {
        let phase = state.journal.phase;
        let Some(update) = &mut state.journal.update else {
            return;
        };
        let is_over = phase == Phase::Normal && update.to_release.is_some();
        let are_booted = update
            .programs
            .iter()
            .all(|program| program.state != ProgramState::Prepared);
        if !is_over || !are_booted {
            return;
        }
        let mut told = update.clone();
        told.programs
            .retain(|program| program.state == ProgramState::Booted);
        for program in &mut update.programs {
            program.state = ProgramState::Finished;
        }
        tell_later(&self.programs, told, Word::Finish);
    }

    fn change_program(&self, name: &str, change: impl FnOnce(&mut ProgramRecord)) {
        let mut state = self.state();
        let update = state.journal.update.as_mut();
        let program = update.and_then(|update| {
            let mut programs = update.programs.iter_mut();
            programs.find(|program| program.name == name)
        });
        if let Some(program) = program {
            change(program);
        }
    }
}

/// Runs each with a word that cannot be refused.
fn tell_later(programs: &Programs, update: UpdateRecord, word: Word) {
    if update.programs.is_empty() {
        return;
    }
    let programs = programs.clone();
    thread::spawn(move || {
        for program in &update.programs {
            let (name, payload) = (&program.name, &program.payload);
            if let Err(error) = programs.run(name, word, payload, &update, PATIENCE) {
                tracing::warn!(program = name, %error, word = word.name(), "failed");
            }
        }
    });
}

fn veto(name: &str, event: Event, error: &ProgramError) -> Refusal {
    let text = format!("the program {name} refused {event}: {error}; the update is cancelled");
    Refusal::new(Code::Cancelled, text)
}

fn no_update() -> Refusal {
    Refusal::new(Code::Internal, "no update is under way")
}
